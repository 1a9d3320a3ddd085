// Driver of ts-mls (TypeScript, npm package `ts-mls`).
//
// Quirks of the library that are got round here (docs/peers.md tells more):
// - external_pub holds the bare key, without the length that RFC 9420, Section 12.4.3.2 puts in front. Made and read in the
//   form of the RFC here.
// - It makes signature keys on the NIST curves in compressed form; Section 5.1.1 wants uncompressed points. Turned round here.
// - An Update proposal has to be made by hand, and its private key put into the state before the commit that carries it.
// - It does not notice that it is removed where the same commit gives its leaf to another. The driver looks before it does.
// - A commit of GroupContextExtensions alone gets no path, which Section 12.4 demands. Nothing can be done about it here.
import { readFileSync } from "node:fs"
import { p256, p384, p521 } from "@noble/curves/nist.js"
import * as mls from "ts-mls"
import { createGroupInfo, createGroupInfoWithRatchetTree } from "ts-mls/createCommit.js"
import { decodeRatchetTree, ratchetTreeEncoder } from "ts-mls/ratchetTree.js"
import { decodeVarLenData, varLenDataEncoder } from "ts-mls/codec/variableLength.js"
import { encode } from "ts-mls/codec/tlsEncoder.js"
import { leafNodeTBSEncoder } from "ts-mls/leafNode.js"
import { signWithLabel } from "ts-mls/crypto/signature.js"
import { updateLeafKey } from "ts-mls/privateKeyPath.js"
import { bytes, hex, serve } from "./json_lines.mjs"

const SUITES = [1, 2, 3, 4, 5, 6, 7]
const CURVES = { 2: p256, 5: p521, 7: p384 }
const ABILITIES = [
  "send_public send_private read_public read_private empty_commit several_proposals propose propose_update",
  "references outside_proposals messages far_out_of_order authenticated_data tree_out_of_band external_join group_info psk",
  "resumption_psk chosen_extensions group_context_extensions reinit branch new_signature_keys add_basic_only",
].flatMap((line) => line.split(" "))

const clients = {}
const groups = {}
const implementations = {}
let number = 0

const suiteName = (suite) => Object.entries(mls.ciphersuites).find(([, value]) => value === suite)[0]
const implementation = async (suite) => (implementations[suite] ??= await mls.getCiphersuiteImpl(mls.getCiphersuiteFromName(suiteName(suite))))
const extensionName = (type) => Object.entries(mls.defaultExtensionTypes).find(([, value]) => value === type)?.[0] ?? type
const extensions = (list) => (list ?? []).map(([type, data]) => ({ extensionType: extensionName(type), extensionData: bytes(data) }))
const wrap = (wireformat, key, value) => hex(mls.encodeMlsMessage({ version: "mls10", wireformat, [key]: value }))
const encodeTree = (tree) => hex(encode(ratchetTreeEncoder)(tree))
const decodeTree = (text) => (text === undefined || text === null ? undefined : decodeRatchetTree(bytes(text), 0)[0])

function read(text) {
  const decoded = mls.decodeMlsMessage(bytes(text), 0)
  if (decoded === undefined) throw new Error("not an MLSMessage")
  if (decoded[1] !== text.length / 2) throw new Error("bytes behind the MLSMessage")
  return decoded[0]
}

function config() {
  return {
    keyRetentionConfig: mls.defaultKeyRetentionConfig,
    lifetimeConfig: mls.defaultLifetimeConfig,
    keyPackageEqualityConfig: mls.defaultKeyPackageEqualityConfig,
    paddingConfig: mls.defaultPaddingConfig,
    authService: mls.defaultAuthenticationService,
  }
}

async function makeSignatureKeys(suite) {
  const keys = await (await implementation(suite)).signature.keygen()
  const curve = CURVES[suite]
  return curve === undefined ? keys : { ...keys, publicKey: curve.Point.fromBytes(keys.publicKey).toBytes(false) }
}

async function makeKeyPackage(client) {
  const now = BigInt(Math.floor(Date.now() / 1000))
  const lifetime = { notBefore: now - 3600n, notAfter: now + 28n * 86400n }
  const credential = { credentialType: "basic", identity: client.identity }
  return await mls.generateKeyPackageWithKey(credential, client.capabilities, lifetime, [], client.keys, await implementation(client.suite))
}

function enter(client, state) {
  const handle = String(number++)
  groups[handle] = { client, state, pending: null, update: null }
  return { group: handle }
}

// A new leaf for an Update, and the private key that the state gets once a commit applies it.
async function makeUpdate(group, suite) {
  const { state, client } = group
  const pair = await suite.hpke.generateKeyPair()
  const index = state.privatePath.leafIndex
  const leaf = state.ratchetTree[2 * index].leaf
  const unsigned = {
    leafNodeSource: "update",
    hpkePublicKey: await suite.hpke.exportPublicKey(pair.publicKey),
    signaturePublicKey: leaf.signaturePublicKey,
    credential: leaf.credential,
    capabilities: leaf.capabilities,
    extensions: leaf.extensions,
    groupId: state.groupContext.groupId,
    leafIndex: index,
  }
  const signature = await signWithLabel(client.keys.signKey, "LeafNodeTBS", encode(leafNodeTBSEncoder)(unsigned), suite.signature)
  const { groupId: _group, leafIndex: _leaf, ...leafNode } = unsigned
  group.update = { publicKey: hex(unsigned.hpkePublicKey), privateKey: await suite.hpke.exportPrivateKey(pair.privateKey) }
  return { ...leafNode, signature }
}

async function makeProposal(group, proposal, suite) {
  const nonce = () => suite.rng.randomBytes(suite.kdf.size)
  switch (proposal.type) {
    case "add":
      return { proposalType: "add", add: { keyPackage: read(proposal.key_package).keyPackage } }
    case "remove":
      return { proposalType: "remove", remove: { removed: proposal.leaf } }
    case "update":
      return { proposalType: "update", update: { leafNode: await makeUpdate(group, suite) } }
    case "psk":
      return { proposalType: "psk", psk: { preSharedKeyId: { psktype: "external", pskId: bytes(proposal.psk_id), pskNonce: nonce() } } }
    case "resumption_psk": {
      const { groupId } = group.state.groupContext
      const psk = { psktype: "resumption", usage: "application", pskGroupId: groupId, pskEpoch: BigInt(proposal.epoch), pskNonce: nonce() }
      return { proposalType: "psk", psk: { preSharedKeyId: psk } }
    }
    case "group_context_extensions":
      return { proposalType: "group_context_extensions", groupContextExtensions: { extensions: extensions(proposal.extensions) } }
    case "reinit": {
      const reinit = { groupId: bytes(proposal.group_id), version: "mls10", cipherSuite: suiteName(proposal.suite), extensions: [] }
      return { proposalType: "reinit", reinit }
    }
    default:
      throw new Error(`no way to make ${proposal.type}`)
  }
}

// `judge` is asked about every commit and proposal before it takes effect.
async function process(group, message, suite, judge) {
  const psks = mls.makePskIndex(group.state, group.client.psks)
  if (message.wireformat === "mls_private_message") return await mls.processPrivateMessage(group.state, message.privateMessage, psks, suite, judge)
  if (message.wireformat === "mls_public_message")
    return { kind: "newState", ...(await mls.processPublicMessage(group.state, message.publicMessage, psks, suite, judge)) }
  throw new Error(`no way to process ${message.wireformat}`)
}

const removes = (leaf) => (incoming) =>
  incoming.kind === "commit" && incoming.proposals.some(({ proposal }) => proposal.proposalType === "remove" && proposal.remove.removed === leaf)

// A commit may or may not carry the own Update that waits: the leaf that it leads to tells.
async function processWithUpdate(group, message, suite, judge) {
  const { state: before, update } = group
  const index = before.privatePath.leafIndex
  try {
    group.state = { ...before, privatePath: updateLeafKey(before.privatePath, update.privateKey) }
    const outcome = await process(group, message, suite, judge)
    if (hex(outcome.newState.ratchetTree[2 * index].leaf.hpkePublicKey) === update.publicKey) return outcome
  } catch {
    // It does not carry it.
  }
  group.state = before
  return await process(group, message, suite, judge)
}

const commands = {
  async hello() {
    const { version } = JSON.parse(readFileSync(new URL("../node_modules/ts-mls/package.json", import.meta.url)))
    return { implementation: "ts-mls", version, suites: SUITES, abilities: ABILITIES }
  },

  // `as_it_is`: leave the signature key as the library makes it.
  async client({ client, identity, suite, handshake, tree_extension, extensions: known, as_it_is }) {
    const keys = as_it_is ? await (await implementation(suite)).signature.keygen() : await makeSignatureKeys(suite)
    const capabilities = { versions: ["mls10"], ciphersuites: [suiteName(suite)], extensions: known ?? [], proposals: [], credentials: ["basic", "x509"] }
    clients[client] = { identity: bytes(identity), suite, handshake, tree: tree_extension ?? true, keys, capabilities, psks: {}, keyPackages: [] }
    return { signature_key: hex(keys.publicKey) }
  },

  async key_package({ client }) {
    const made = await makeKeyPackage(clients[client])
    clients[client].keyPackages.push(made)
    return { key_package: wrap("mls_key_package", "keyPackage", made.publicPackage) }
  },

  async create({ client, group_id, extensions: list }) {
    const owner = clients[client]
    const own = await makeKeyPackage(owner)
    const suite = await implementation(owner.suite)
    return enter(owner, await mls.createGroup(bytes(group_id), own.publicPackage, own.privatePackage, extensions(list), suite, config()))
  },

  // `of_group`: the group that the new one succeeds or branches off.
  async join({ client, welcome, ratchet_tree, of_group }) {
    const owner = clients[client]
    const suite = await implementation(owner.suite)
    const former = of_group === undefined ? undefined : groups[of_group].state
    let failure = new Error("no key package")
    for (const own of owner.keyPackages) {
      try {
        const psks = mls.makePskIndex(former, owner.psks)
        const tree = decodeTree(ratchet_tree)
        return enter(owner, await mls.joinGroup(read(welcome).welcome, own.publicPackage, own.privatePackage, psks, suite, tree, former, config()))
      } catch (error) {
        if (!/No matching secret/.test(error.message)) failure = error
      }
    }
    throw failure
  },

  async commit({ group: handle, proposals, handshake, authenticated_data }) {
    const group = groups[handle]
    const suite = await implementation(group.client.suite)
    const extraProposals = []
    for (const proposal of proposals) extraProposals.push(await makeProposal(group, proposal, suite))
    const made = await mls.createCommit(
      { state: group.state, cipherSuite: suite, pskIndex: mls.makePskIndex(group.state, group.client.psks) },
      {
        extraProposals,
        wireAsPublicMessage: (handshake ?? group.client.handshake) === "public",
        ratchetTreeExtension: group.client.tree,
        authenticatedData: bytes(authenticated_data ?? ""),
      },
    )
    group.pending = made.newState
    return {
      commit: hex(mls.encodeMlsMessage(made.commit)),
      welcome: made.welcome ? wrap("mls_welcome", "welcome", made.welcome) : null,
      ratchet_tree: encodeTree(made.newState.ratchetTree),
    }
  },

  async merge({ group: handle }) {
    const group = groups[handle]
    group.state = group.pending
    group.pending = group.update = null
    return {}
  },

  async clear({ group: handle }) {
    groups[handle].pending = null
    return {}
  },

  async propose({ group: handle, proposal, handshake, authenticated_data }) {
    const group = groups[handle]
    const suite = await implementation(group.client.suite)
    const made = await makeProposal(group, proposal, suite)
    const isPublic = (handshake ?? group.client.handshake) === "public"
    const sent = await mls.createProposal(group.state, isPublic, made, suite, bytes(authenticated_data ?? ""))
    group.state = sent.newState
    return { message: hex(mls.encodeMlsMessage(sent.message)) }
  },

  // `as_it_is`: let the library notice by itself that it is removed.
  async process({ group: handle, message, as_it_is }) {
    const group = groups[handle]
    const suite = await implementation(group.client.suite)
    const before = group.state.groupContext.epoch
    const decoded = read(message)
    const isRemoved = removes(group.state.privatePath.leafIndex)
    let isOver = false
    const judge = (incoming) => ((isOver = !as_it_is && isRemoved(incoming)) ? "reject" : "accept")
    const outcome = await (group.update === null ? process : processWithUpdate)(group, decoded, suite, judge)
    if (isOver) return { type: "commit", removed: true }
    group.state = outcome.newState
    if (outcome.kind === "applicationMessage") return { type: "application", data: hex(outcome.message) }
    if (group.state.groupActiveState.kind === "removedFromGroup") return { type: "commit", removed: true }
    if (group.state.groupContext.epoch === before) return { type: "proposal" }
    group.update = null
    return { type: "commit", removed: false }
  },

  async external_join({ client, group_info, ratchet_tree, replaces }) {
    const owner = clients[client]
    const suite = await implementation(owner.suite)
    const own = await makeKeyPackage(owner)
    const importPublicKey = (key) => suite.hpke.importPublicKey(decodeVarLenData(key, 0)[0])
    const exact = { ...suite, hpke: { ...suite.hpke, importPublicKey: lengthFirst(suite, importPublicKey) } }
    const info = read(group_info).groupInfo
    const isBack = replaces !== undefined && replaces !== null
    const made = await mls.joinGroupExternal(info, own.publicPackage, own.privatePackage, isBack, exact, decodeTree(ratchet_tree), config())
    return { ...enter(owner, made.newState), commit: wrap("mls_public_message", "publicMessage", made.publicMessage) }
  },

  async group_info({ group: handle, tree }) {
    const { state, client } = groups[handle]
    const suite = await implementation(client.suite)
    const pair = await suite.hpke.deriveKeyPair(state.keySchedule.externalSecret)
    const key = await suite.hpke.exportPublicKey(pair.publicKey)
    const list = [{ extensionType: "external_pub", extensionData: encode(varLenDataEncoder)(key) }]
    const { groupContext, confirmationTag, ratchetTree } = state
    const info = tree
      ? await createGroupInfoWithRatchetTree(groupContext, confirmationTag, state, ratchetTree, list, suite)
      : await createGroupInfo(groupContext, confirmationTag, state, list, suite)
    return { group_info: wrap("mls_group_info", "groupInfo", info) }
  },

  // As the library makes it.
  async group_info_as_it_is({ group: handle }) {
    const { state, client } = groups[handle]
    const info = await mls.createGroupInfoWithExternalPubAndRatchetTree(state, [], await implementation(client.suite))
    return { group_info: wrap("mls_group_info", "groupInfo", info) }
  },

  // Ask from outside to be added, with the newest key package.
  async propose_own_addition({ client, group_info }) {
    const owner = clients[client]
    const own = owner.keyPackages.at(-1)
    const info = read(group_info).groupInfo
    const asked = await mls.proposeAddExternal(info, own.publicPackage, own.privatePackage, await implementation(owner.suite))
    return { message: hex(mls.encodeMlsMessage(asked)) }
  },

  async branch({ group: handle, client, group_id, key_packages }) {
    return await found(groups[handle], clients[client], key_packages, (state, own, added, suite) =>
      mls.branchGroup(state, own.publicPackage, own.privatePackage, added, bytes(group_id), suite),
    )
  },

  async succeed({ group: handle, client, key_packages }) {
    return await found(groups[handle], clients[client], key_packages, (state, own, added) => {
      const { groupId, cipherSuite, extensions: list } = state.groupActiveState.reinit
      return mls.reinitCreateNewGroup(state, own.publicPackage, own.privatePackage, added, groupId, cipherSuite, list)
    })
  },

  async encrypt({ group: handle, data, authenticated_data }) {
    const group = groups[handle]
    const suite = await implementation(group.client.suite)
    const sent = await mls.createApplicationMessage(group.state, bytes(data), suite, bytes(authenticated_data ?? ""))
    group.state = sent.newState
    return { message: wrap("mls_private_message", "privateMessage", sent.privateMessage) }
  },

  async psk({ client, psk_id, psk }) {
    clients[client].psks[mls.bytesToBase64(bytes(psk_id))] = bytes(psk)
    return {}
  },

  async tree({ group: handle }) {
    return { ratchet_tree: encodeTree(groups[handle].state.ratchetTree) }
  },

  async state({ group: handle }) {
    const { state, client } = groups[handle]
    const { groupContext, keySchedule } = state
    const exported = await mls.mlsExporter(keySchedule.exporterSecret, "exporter", new Uint8Array(), 32, await implementation(client.suite))
    return {
      group_id: hex(groupContext.groupId),
      epoch: Number(groupContext.epoch),
      tree_hash: hex(groupContext.treeHash),
      confirmed_transcript_hash: hex(groupContext.confirmedTranscriptHash),
      epoch_authenticator: hex(keySchedule.epochAuthenticator),
      exported: hex(exported),
    }
  },

  async reload({ group: handle }) {
    const group = groups[handle]
    const [state] = mls.decodeGroupState(mls.encodeGroupState(group.state), 0)
    group.state = { ...state, clientConfig: group.state.clientConfig }
    return {}
  },
}

// The library hands the whole content of external_pub to importPublicKey, and keys of the tree as they are.
function lengthFirst(suite, importPrefixed) {
  let isFirst = true
  return (key) => {
    const importKey = isFirst ? importPrefixed : suite.hpke.importPublicKey
    isFirst = false
    return importKey(key)
  }
}

async function found(group, client, keyPackages, make) {
  const suite = await implementation(client.suite)
  const own = await makeKeyPackage(client)
  const added = keyPackages.map((text) => read(text).keyPackage)
  const made = await make(group.state, own, added, suite)
  const welcome = wrap("mls_welcome", "welcome", made.welcome)
  return { ...enter(client, made.newState), welcome, ratchet_tree: encodeTree(made.newState.ratchetTree) }
}

await serve(commands)
