// Tries a running server with clients of OAuth that others wrote, unmodified: discovery, the client credentials grant with
// a secret in the header and in the body, introspection, revocation, and tokens that are bound to a key (DPoP); then the authorization code grant with PKCE, refresh
// tokens, and the same of a public app with DPoP. What a person does on the page of consent is done here too.
//
//	WEIR=http://127.0.0.1:8787 CLIENT_ID=key_… CLIENT_SECRET=cs_live_… APP_ID=app_… APP_SECRET=as_… \
//	PUBLIC_APP_ID=app_… PERSON_KEY=sk_live_… node check.mjs
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

// person is sent to the page of consent, enters a key, and is sent back to the address that this gives.
async function person(address) {
  const page = await fetch(address)
  assert.equal(page.status, 200)
  const form = new URLSearchParams({ key: process.env.PERSON_KEY })
  const plain = (text) => text.replace(/&#(\d+);/g, (_, n) => String.fromCharCode(n)).replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&')
  for (const [, name, value] of (await page.text()).matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)) form.append(plain(name), plain(value))
  const sent = await fetch(new URL('/v1/oauth/authorize', server), { method: 'POST', body: form, redirect: 'manual', headers: { origin: server.origin } })
  assert.equal(sent.status, 303)
  return new URL(sent.headers.get('location'))
}

async function letInByOpenIDClient(authentication) {
  const id = process.env.APP_ID
  const config = await openid.discovery(server, id, undefined, authentication, { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] })
  const verifier = openid.randomPKCECodeVerifier()
  const state = openid.randomState()
  const asked = openid.buildAuthorizationUrl(config, {
    redirect_uri: 'http://127.0.0.1:4712/back', scope: 'sql:run', state, code_challenge: await openid.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    resource: server.href.replace(/\/$/, ''),
  })
  const back = await person(asked)
  const tokens = await openid.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier, expectedState: state })
  const next = await openid.refreshTokenGrant(config, tokens.refresh_token)
  assert.notEqual(next.refresh_token, tokens.refresh_token)
  const answer = await openid.fetchProtectedResource(config, next.access_token, whoami, 'GET')
  assert.deepEqual((await answer.json()).scopes, ['sql:run'])
  const about = await openid.tokenIntrospection(config, next.refresh_token)
  assert.equal(about.active, true)
  assert.equal(about.client_id, id)
  await openid.tokenRevocation(config, next.refresh_token)
  await assert.rejects(openid.refreshTokenGrant(config, next.refresh_token), (e) => e.error === 'invalid_grant')
  await assert.rejects(openid.fetchProtectedResource(config, next.access_token, whoami, 'GET'), (e) => e.cause[0].parameters.error === 'invalid_token')
}

async function letInByOAuth4WebAPI() {
  const insecure = { [oauth.allowInsecureRequests]: true }
  const as = await oauth.processDiscoveryResponse(server, await oauth.discoveryRequest(server, { algorithm: 'oauth2', ...insecure }))
  assert.equal(as.authorization_response_iss_parameter_supported, true)
  const client = { client_id: process.env.PUBLIC_APP_ID }
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const asked = new URL(as.authorization_endpoint)
  const parameters = {
    client_id: client.client_id, redirect_uri: 'http://127.0.0.1:4713/back', response_type: 'code', scope: 'sql:run', state, code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256', dpop_jkt: await DPoP.calculateThumbprint(),
  }
  for (const [name, value] of Object.entries(parameters)) asked.searchParams.set(name, value)
  const back = oauth.validateAuthResponse(as, client, await person(asked), state)
  const exchanged = await oauth.authorizationCodeGrantRequest(as, client, oauth.None(), back, parameters.redirect_uri, verifier, { DPoP, ...insecure })
  const tokens = await oauth.processAuthorizationCodeResponse(as, client, exchanged)
  assert.equal(tokens.token_type, 'dpop')
  const other = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
  const stolen = await oauth.refreshTokenGrantRequest(as, client, oauth.None(), tokens.refresh_token, { DPoP: other, ...insecure })
  await assert.rejects(oauth.processRefreshTokenResponse(as, client, stolen), (e) => e.error === 'invalid_grant')
  const refreshed = await oauth.refreshTokenGrantRequest(as, client, oauth.None(), tokens.refresh_token, { DPoP, ...insecure })
  const next = await oauth.processRefreshTokenResponse(as, client, refreshed)
  const answer = await oauth.protectedResourceRequest(next.access_token, 'GET', whoami, undefined, undefined, { DPoP, ...insecure })
  assert.deepEqual((await answer.json()).scopes, ['sql:run'])
}

await withOpenIDClient(openid.ClientSecretBasic(secret))
await withOpenIDClient(openid.ClientSecretPost(secret))
await withOAuth4WebAPI()
await letInByOpenIDClient(openid.ClientSecretBasic(process.env.APP_SECRET))
await letInByOpenIDClient(openid.ClientSecretPost(process.env.APP_SECRET))
await letInByOAuth4WebAPI()
console.log('all flows are complete')
