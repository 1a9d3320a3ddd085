"""What Alembic runs: the revisions, on the connection that `devicestore.migrations.upgrade` hands over."""

from alembic import context

from devicestore.models import Base

# Batch mode rebuilds a table where SQLite cannot alter it. The transaction is the caller's.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
