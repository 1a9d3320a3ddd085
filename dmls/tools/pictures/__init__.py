"""The epoch graph of a room as a picture: what is shown (`description`), as text (`dot`, `mermaid`), drawn (`drawing`)."""
