// ts-mls as the one who judges in a scene of the negative vectors (docs/negative-vectors.md).
import * as mls from "ts-mls"
import { decodeRatchetTree } from "ts-mls/ratchetTree.js"
import { bytes, hex, serve } from "./json_lines.mjs"

const implementations = {}
let judge

const suiteName = (suite) => Object.entries(mls.ciphersuites).find(([, value]) => value === suite)[0]
const implementation = async (suite) => (implementations[suite] ??= await mls.getCiphersuiteImpl(mls.getCiphersuiteFromName(suiteName(suite))))

function whole(decode, text) {
  const decoded = decode(bytes(text), 0)
  if (decoded === undefined) throw new Error("does not decode")
  if (decoded[1] !== text.length / 2) throw new Error("bytes behind it")
  return decoded[0]
}

const read = (text) => whole(mls.decodeMlsMessage, text)
const psks = ({ client }) => Object.fromEntries(client.external_psks.map(({ psk_id, psk }) => [Buffer.from(bytes(psk_id)).toString("base64"), bytes(psk)]))

function config({ identities }) {
  const known = { validateCredential: async (credential) => identities.includes(hex(credential.identity ?? [])) }
  return {
    keyRetentionConfig: mls.defaultKeyRetentionConfig,
    lifetimeConfig: mls.defaultLifetimeConfig,
    keyPackageEqualityConfig: mls.defaultKeyPackageEqualityConfig,
    paddingConfig: mls.defaultPaddingConfig,
    authService: identities === undefined ? mls.defaultAuthenticationService : known,
  }
}

async function join(suite, setup, { welcome, ratchet_tree }, predecessor) {
  const { key_package, init_priv, encryption_priv, signature_priv } = setup.client
  const keys = { initPrivateKey: bytes(init_priv), hpkePrivateKey: bytes(encryption_priv), signaturePrivateKey: bytes(signature_priv) }
  const tree = ratchet_tree === null ? undefined : whole(decodeRatchetTree, ratchet_tree)
  const index = mls.makePskIndex(predecessor, psks(setup))
  const cipherSuite = await implementation(suite)
  return await mls.joinGroup(read(welcome).welcome, read(key_package).keyPackage, keys, index, cipherSuite, tree, predecessor, config(setup))
}

async function take(suite, setup, state, text) {
  const message = read(text)
  const index = mls.makePskIndex(state, psks(setup))
  const cipherSuite = await implementation(suite)
  const done = message.publicMessage
    ? await mls.processPublicMessage(state, message.publicMessage, index, cipherSuite)
    : await mls.processPrivateMessage(state, message.privateMessage, index, cipherSuite)
  return done.newState
}

async function takeAll(suite, setup, state, messages) {
  for (const message of messages) state = await take(suite, setup, state, message)
  return state
}

const enter = async (suite, setup) => await takeAll(suite, setup, await join(suite, setup, setup), setup.messages)

const kinds = {
  async decode() {
    return async ({ data }) => read(data)
  },
  async join(suite, setup) {
    // The library wants to be told which epoch is continued: it is one of these.
    const epochs = []
    for (const group of setup.predecessors ?? []) epochs.push(await enter(group.cipher_suite, group))
    const joins = (attempt) => (epochs.length ? epochs : [undefined]).map((epoch) => join(suite, setup, attempt, epoch))
    return async (attempt) => {
      const ends = await Promise.allSettled(joins(attempt))
      if (ends.every(({ status }) => status === "rejected")) throw ends[0].reason
    }
  },
  async receive(suite, setup) {
    const state = await enter(suite, setup)
    return async ({ messages }) => await takeAll(suite, setup, state, messages)
  },
}

await serve({
  async prepare({ scene }) {
    judge = await kinds[scene.kind](scene.cipher_suite, scene.setup)
    return {}
  },
  async attempt({ attempt }) {
    await judge(attempt)
    return {}
  },
})
