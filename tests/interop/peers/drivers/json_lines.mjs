// One JSON object a line in, one out: how a driver in JavaScript talks to the tests.
import readline from "node:readline"

export const hex = (bytes) => Buffer.from(bytes).toString("hex")
export const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"))

// An error may keep what matters in a nested object (core-crypto), with numbers that JSON does not know.
function describe(error) {
  const inner = error?.inner === undefined ? "" : ` ${JSON.stringify(error.inner, (_, value) => (typeof value === "bigint" ? String(value) : value))}`
  return `${error?.constructor?.name ?? "Error"}: ${error?.message ?? error}${inner.slice(0, 400)}`
}

export async function serve(commands) {
  for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const request = JSON.parse(line)
    let answer
    try {
      if (!Object.hasOwn(commands, request.command)) throw new Error(`no such command: ${request.command}`)
      answer = { id: request.id, ok: true, ...(await commands[request.command](request)) }
    } catch (error) {
      answer = { id: request.id, ok: false, error: describe(error) }
    }
    process.stdout.write(JSON.stringify(answer) + "\n")
  }
  process.exit(0)
}
