// Signatures of requests by RFC 9421, as docs/signatures.md describes them, with the platform's Web Crypto.

/** What a request is signed with: a signing secret (`ss_…`), or a private key for Ed25519 that Web Crypto holds. */
export interface Signing {
  /** The key's public name, `key_…`. */
  keyId: string
  /** The signing secret, for HMAC-SHA256. A secret in a page is no secret: use this in back ends. */
  secret?: string
  /** A private key for Ed25519. It need not be extractable. */
  privateKey?: CryptoKey
}

const bytes = (text: string) => new TextEncoder().encode(text)
const base64 = (data: ArrayBuffer | Uint8Array<ArrayBuffer>) => btoa(String.fromCharCode(...new Uint8Array(data)))

/** Gives the headers that sign a POST, to be sent beside those it is given. */
export async function sign(by: Signing, url: string, headers: Record<string, string>, body: string, now: number): Promise<Record<string, string>> {
  const { host, pathname, search } = new URL(url)
  const digest = `sha-256=:${base64(await crypto.subtle.digest('SHA-256', bytes(body)))}:`
  const parts = [['@method', 'POST'], ['@authority', host], ['@path', pathname], ['@query', search || '?'], ['content-digest', digest]]
  for (const name in headers) parts.push([name.toLowerCase(), headers[name]!])
  const names = parts.map(([name]) => `"${name}"`).join(' ')
  const nonce = base64(crypto.getRandomValues(new Uint8Array(18)))
  const params = `(${names});created=${Math.floor(now / 1000)};nonce="${nonce}";keyid="${by.keyId}";tag="weir-v1"`
  const text = bytes([...parts.map(([name, value]) => `"${name}": ${value}`), `"@signature-params": ${params}`].join('\n'))
  const signature = by.privateKey
    ? await crypto.subtle.sign('Ed25519', by.privateKey, text)
    : await crypto.subtle.sign('HMAC', await crypto.subtle.importKey('raw', bytes(by.secret!), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']), text)
  return { 'Content-Digest': digest, 'Signature-Input': `sig=${params}`, Signature: `sig=:${base64(signature)}:` }
}
