// Tries a running server with clients of OAuth that others wrote, unmodified: discovery, the client credentials grant with
// a secret in the header and in the body, introspection, revocation, and tokens that are bound to a key (DPoP).
//
//	WEIR=http://127.0.0.1:8787 CLIENT_ID=key_… CLIENT_SECRET=cs_live_… node check.mjs
import assert from 'node:assert/strict'
import * as openid from 'openid-client'
import * as oauth from 'oauth4webapi'

const server = new URL(process.env.WEIR)
const id = process.env.CLIENT_ID
const secret = process.env.CLIENT_SECRET
const whoami = new URL('/v1/whoami', server)

async function withOpenIDClient(authentication) {
  const config = await openid.discovery(server, id, undefined, authentication, { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] })
  const tokens = await openid.clientCredentialsGrant(config, { scope: 'sql:run', resource: server.href.replace(/\/$/, '') })
  assert.equal(tokens.scope, 'sql:run')
  assert.equal(tokens.expires_in, 900)
  const answer = await openid.fetchProtectedResource(config, tokens.access_token, whoami, 'GET')
  assert.equal((await answer.json()).key_id, id)
  assert.equal((await openid.tokenIntrospection(config, tokens.access_token)).active, true)
  await openid.tokenRevocation(config, tokens.access_token)
  assert.equal((await openid.tokenIntrospection(config, tokens.access_token)).active, false)
  await assert.rejects(openid.fetchProtectedResource(config, tokens.access_token, whoami, 'GET'), (e) => e.cause[0].parameters.error === 'invalid_token')
  await assert.rejects(openid.clientCredentialsGrant(config, { scope: 'users:read' }), (e) => e.error === 'invalid_scope')
}

async function withOAuth4WebAPI() {
  const insecure = { [oauth.allowInsecureRequests]: true }
  const found = await oauth.discoveryRequest(server, { algorithm: 'oauth2', ...insecure })
  const as = await oauth.processDiscoveryResponse(server, found)
  const resource = await oauth.resourceDiscoveryRequest(server, insecure)
  assert.deepEqual((await oauth.processResourceDiscoveryResponse(server, resource)).authorization_servers, [as.issuer])
  const client = { client_id: id }
  const pair = await oauth.generateKeyPair('ES256')
  const DPoP = oauth.DPoP(client, pair)
  const asked = await oauth.clientCredentialsGrantRequest(as, client, oauth.ClientSecretBasic(secret), new URLSearchParams(), { DPoP, ...insecure })
  const tokens = await oauth.processClientCredentialsResponse(as, client, asked)
  assert.equal(tokens.token_type, 'dpop')
  const answer = await oauth.protectedResourceRequest(tokens.access_token, 'GET', whoami, undefined, undefined, { DPoP, ...insecure })
  assert.equal((await answer.json()).kind, 'token')
  await assert.rejects(oauth.protectedResourceRequest(tokens.access_token, 'GET', whoami, undefined, undefined, insecure), (e) => e.cause[0].parameters.error === 'invalid_token')
  const other = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
  await assert.rejects(oauth.protectedResourceRequest(tokens.access_token, 'GET', whoami, undefined, undefined, { DPoP: other, ...insecure }))

  const signing = await crypto.subtle.importKey('pkcs8', Buffer.from(process.env.CLIENT_KEY, 'base64'), 'Ed25519', false, ['sign'])
  const signed = await oauth.clientCredentialsGrantRequest(as, client, oauth.PrivateKeyJwt(signing), new URLSearchParams(), insecure)
  const bearer = await oauth.processClientCredentialsResponse(as, client, signed)
  assert.equal(bearer.token_type, 'bearer')
  // The token is what RFC 9068 says, and signed with a key that is published.
  const request = new Request(whoami, { headers: { authorization: `Bearer ${bearer.access_token}` } })
  const claims = await oauth.validateJwtAccessToken(as, request, as.issuer, insecure)
  assert.equal(claims.client_id, id)
}

await withOpenIDClient(openid.ClientSecretBasic(secret))
await withOpenIDClient(openid.ClientSecretPost(secret))
await withOAuth4WebAPI()
console.log('all flows are complete')
