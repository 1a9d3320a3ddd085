// The contestant ts-mls (TypeScript, npm package `ts-mls`), with the protocol of contestants/contestant.py.
//
// It computes with the cryptography that the library takes by default, and with its default configuration: application messages
// of 256 bytes and more are not padded, and a state keeps what it takes to decrypt messages of the four epochs before.
// States are values that nothing changes: every run starts from the one at the seat.
// The library finds its packages beside the drivers of the interoperability tests, where `make peers` puts them.
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { pathToFileURL } from "node:url"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { bytes, hex, serve } from "../../../tests/interop/peers/drivers/json_lines.mjs"

const PEERS = new URL("../../../tests/interop/peers/package.json", import.meta.url)
const resolvePeer = createRequire(PEERS).resolve
const load = (module) => import(pathToFileURL(resolvePeer(module)))

const mls = await load("ts-mls")
const { decodeVarLenData } = await load("ts-mls/codec/variableLength.js")

const SUITE = "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"
const TEXT = new Uint8Array(1024)
const COPIES = 8
const NOW = BigInt(Math.floor(Date.now() / 1000))
const LIFETIME = { notBefore: NOW - 3600n, notAfter: NOW + 28n * 86400n }
const CAPABILITIES = { versions: ["mls10"], ciphersuites: [SUITE], extensions: [], proposals: [], credentials: ["basic"] }
const CONFIG = {
  keyRetentionConfig: mls.defaultKeyRetentionConfig,
  lifetimeConfig: mls.defaultLifetimeConfig,
  keyPackageEqualityConfig: mls.defaultKeyPackageEqualityConfig,
  paddingConfig: mls.defaultPaddingConfig,
  authService: mls.defaultAuthenticationService,
}
const REMARKS = {
  "external-join": "reads external_pub without the length that RFC 9420, Section 12.4.3.2 puts in front; the driver removes it",
}
const NOTES = {
  create: "with the key package that the library makes a group from",
  commit: "with the new epoch: there is nothing left to apply",
  save: "with what the state keeps of earlier epochs, their trees included",
  load: "with what the state keeps of earlier epochs, their trees included",
}

setFlagsFromString("--expose_gc")
const collectGarbage = runInNewContext("gc")
const suite = await mls.getCiphersuiteImpl(mls.getCiphersuiteFromName(SUITE))

let own = null
let newcomer = null
// The state at the seat.
let seat = null
// Makes ready what one run needs, and returns the run.
let makeReady = null

// Clients and messages

async function makeClient(name) {
  return { credential: { credentialType: "basic", identity: new TextEncoder().encode(name) }, keys: await suite.signature.keygen() }
}

const makeKeyPackage = ({ credential, keys }) => mls.generateKeyPackageWithKey(credential, CAPABILITIES, LIFETIME, [], keys, suite)

const encodeKeyPackage = (made) => mls.encodeMlsMessage({ version: "mls10", wireformat: "mls_key_package", keyPackage: made.publicPackage })
const encodeWelcome = (welcome) => mls.encodeMlsMessage({ version: "mls10", wireformat: "mls_welcome", welcome })

function decode(data) {
  const decoded = mls.decodeMlsMessage(data, 0)
  if (decoded === undefined) throw new Error("not an MLSMessage")
  if (decoded[1] !== data.length) throw new Error("bytes behind the MLSMessage")
  return decoded[0]
}

function decodeState(data) {
  const decoded = mls.decodeGroupState(data, 0)
  if (decoded === undefined) throw new Error("not a state")
  return { ...decoded[0], clientConfig: CONFIG }
}

// What is measured

async function createGroup(client) {
  const made = await makeKeyPackage(client)
  return await mls.createGroup(suite.rng.randomBytes(16), made.publicPackage, made.privatePackage, [], suite, CONFIG)
}

async function join(message, made) {
  const { welcome } = decode(message)
  return await mls.joinGroup(welcome, made.publicPackage, made.privatePackage, mls.emptyPskIndex, suite, undefined, undefined, CONFIG)
}

const commit = (state, extraProposals = []) =>
  mls.createCommit({ state, cipherSuite: suite }, { extraProposals, wireAsPublicMessage: true, ratchetTreeExtension: true })

async function commitBytes(state, proposals) {
  return mls.encodeMlsMessage((await commit(state, proposals)).commit).length
}

async function addBytes(state, keyPackages) {
  const proposals = keyPackages.map((data) => ({ proposalType: "add", add: { keyPackage: decode(data).keyPackage } }))
  const made = await commit(state, proposals)
  return mls.encodeMlsMessage(made.commit).length + encodeWelcome(made.welcome).length
}

const receive = (state, message) => mls.processMessage(decode(message), state, mls.emptyPskIndex, mls.acceptAll, suite)

async function say(state) {
  const { privateMessage, newState } = await mls.createApplicationMessage(state, TEXT, suite)
  return { message: mls.encodeMlsMessage({ version: "mls10", wireformat: "mls_private_message", privateMessage }), newState }
}

async function joinExternally(info, client, exactSuite) {
  const { groupInfo } = decode(info)
  const made = await makeKeyPackage(client)
  const { publicMessage } = await mls.joinGroupExternal(groupInfo, made.publicPackage, made.privatePackage, false, exactSuite, undefined, CONFIG)
  return mls.encodeMlsMessage({ version: "mls10", wireformat: "mls_public_message", publicMessage }).length
}

// The library hands the whole content of external_pub to importPublicKey, and keys of the tree as they are.
function makeExactSuite() {
  let isFirst = true
  const importPublicKey = (key) => {
    const exact = isFirst ? decodeVarLenData(key, 0)[0] : key
    isFirst = false
    return suite.hpke.importPublicKey(exact)
  }
  return { ...suite, hpke: { ...suite.hpke, importPublicKey } }
}

// Each prepares an operation: it takes the material and returns what makes a run ready.

const always = (run) => () => run

function opening(state, data) {
  return always(async () => {
    const outcome = await receive(state, data)
    if (outcome.kind !== "applicationMessage") throw new Error("not an application message")
    return data.length
  })
}

const operations = {
  async "key-package"() {
    const client = await makeClient("somebody")
    return always(async () => encodeKeyPackage(await makeKeyPackage(client)).length)
  },

  async create() {
    const client = await makeClient("founder")
    return always(async () => {
      await createGroup(client)
      return 0
    })
  },

  async "add-all"({ key_packages }) {
    const packages = key_packages.map(bytes)
    const state = await createGroup(await makeClient("founder"))
    return always(() => addBytes(state, packages))
  },

  async add({ key_packages }) {
    const packages = key_packages.map(bytes)
    return always(() => addBytes(seat, packages))
  },

  async remove({ leaf }) {
    return always(() => commitBytes(seat, [{ proposalType: "remove", remove: { removed: leaf } }]))
  },

  async commit() {
    return always(() => commitBytes(seat))
  },

  async process({ message }) {
    const data = bytes(message)
    return always(async () => {
      await receive(seat, data)
      return data.length
    })
  },

  async join({ welcomes }) {
    const data = bytes(welcomes[0])
    return always(async () => {
      await join(data, newcomer)
      return data.length
    })
  },

  async "external-join"({ group_info }) {
    const data = bytes(group_info)
    const client = await makeClient("joiner")
    return () => {
      const exactSuite = makeExactSuite()
      return () => joinExternally(data, client, exactSuite)
    }
  },

  async encrypt() {
    const { newState } = await say(seat)
    return always(async () => (await say(newState)).message.length)
  },

  async decrypt({ messages }) {
    const { newState } = await receive(seat, bytes(messages[0]))
    return opening(newState, bytes(messages[1]))
  },

  async "first-message"({ message }) {
    return opening(seat, bytes(message))
  },

  async save() {
    const { newState } = await commit(seat)
    return always(() => mls.encodeGroupState(newState).length)
  },

  async load() {
    const saved = mls.encodeGroupState(seat)
    return always(() => {
      decodeState(saved)
      return saved.length
    })
  },
}

// A garbage collection leaves buffers to the next one. `external` includes the array buffers.
function allocated() {
  collectGarbage()
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

// What is decoded may be views of the saved bytes, so that every copy has to have its own.
function groupMemory() {
  const saved = mls.encodeGroupState(seat)
  decodeState(saved)
  const before = allocated()
  const kept = Array.from({ length: COPIES }, () => decodeState(saved.slice()))
  return Math.round((allocated() - before) / kept.length)
}

const commands = {
  async hello() {
    const { version } = JSON.parse(readFileSync(new URL("node_modules/ts-mls/package.json", PEERS)))
    const primitives = `WebCrypto of Node.js (OpenSSL ${process.versions.openssl})`
    const can = { operations: Object.keys(operations).sort(), remarks: REMARKS, notes: NOTES }
    return { name: "ts-mls", version, primitives, ...can, seat: "update", handshake: "public" }
  },

  async key_package() {
    own = await makeKeyPackage(await makeClient("contestant"))
    return { key_package: hex(encodeKeyPackage(own)) }
  },

  async join({ welcome }) {
    seat = await join(bytes(welcome), own)
    return {}
  },

  async update() {
    const made = await commit(seat)
    seat = made.newState
    return { commit: hex(mls.encodeMlsMessage(made.commit)) }
  },

  async newcomers() {
    newcomer = await makeKeyPackage(await makeClient("newcomer"))
    return { key_packages: [hex(encodeKeyPackage(newcomer))] }
  },

  async prepare({ operation, ...material }) {
    if (!Object.hasOwn(operations, operation)) throw new Error(`no such operation: ${operation}`)
    makeReady = await operations[operation](material)
    collectGarbage()
    return {}
  },

  async run({ milliseconds = 0, most = 1 }) {
    if (makeReady === null) throw new Error("nothing is prepared")
    const nanoseconds = []
    let size = 0
    for (let left = milliseconds * 1e6; nanoseconds.length < most && left >= 0; left -= nanoseconds.at(-1)) {
      const run = makeReady()
      const start = process.hrtime.bigint()
      size = await run()
      nanoseconds.push(Number(process.hrtime.bigint() - start))
    }
    return { nanoseconds, bytes: size }
  },

  async memory({ what }) {
    if (what !== "group") throw new Error(`no way to measure ${what}`)
    return { bytes: groupMemory() }
  },
}

await serve(commands)
