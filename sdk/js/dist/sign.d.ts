/** What a request is signed with: a signing secret (`ss_…`), or a private key for Ed25519 that Web Crypto holds. */
export interface Signing {
    /** The key's public name, `key_…`. */
    keyId: string;
    /** The signing secret, for HMAC-SHA256. A secret in a page is no secret: use this in back ends. */
    secret?: string;
    /** A private key for Ed25519. It need not be extractable. */
    privateKey?: CryptoKey;
}
/** Gives the headers that sign a POST, to be sent beside those it is given. */
export declare function sign(by: Signing, url: string, headers: Record<string, string>, body: string, now: number): Promise<Record<string, string>>;
