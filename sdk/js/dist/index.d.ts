import { type Signing } from './sign.js';
export type { Signing };
export declare const version = "0.1.0";
export type Properties = Record<string, unknown>;
/** Whether events may be sent: `pending` keeps them in memory until it is decided, `dismissed` too, for who did not want to be
 * asked, and `denied` keeps nothing. */
export type Consent = 'granted' | 'denied' | 'pending' | 'dismissed';
/** What was not sent, or not accepted, and why. */
export interface Failure {
    /** The status of the answer; 0 when none came, or the item did not get as far. */
    status: number;
    /** The problem's code, as the server lists them under /problems/, or `queue_full`, `too_old`, `too_large`. */
    code: string;
    detail: string;
    items: Item[];
}
export interface Options {
    /** The key that events are sent with: `pk_…` in a page. */
    key: string;
    /** Where the server is. In a page, by default where this script came from. */
    url?: string;
    /** By default the first that the key may use. */
    environment?: string;
    /** The version of your program: `$release` of every event. */
    release?: string;
    /** What holds until it is changed; by default granted. What was chosen before is remembered. */
    consent?: Consent;
    /** Whether page views are sent without being asked for; by default they are not. */
    pages?: boolean;
    /** Milliseconds that items gather before they are sent; by default 500. */
    gather?: number;
    /** Signs each request. Beacons cannot be signed: what is left when a page ends is sent by the next. */
    signing?: Signing;
    onError?: (failure: Failure) => void;
    /** Where a page keeps ids and what could not be sent; by default localStorage, and null is nowhere. */
    storage?: Storage | null;
    /** What sends; by default the platform's fetch. */
    fetch?: typeof fetch;
}
/** One item of the queue: the route that it goes to, and its body. */
export interface Item {
    to: 'track' | 'identify' | 'alias';
    body: Properties & {
        event_id: string;
        timestamp: string;
    };
}
/** A client. Make it with init. */
export declare class Weir {
    private readonly options;
    private readonly url;
    private readonly name;
    private readonly tab;
    private queue;
    private state;
    private readonly store;
    private sending;
    private timer;
    private waits;
    private notBefore;
    private closed;
    private readonly undo;
    constructor(options: Options);
    /** What the visitor has agreed to. */
    get consent(): Consent;
    set consent(choice: Consent);
    /** The id that events are told under. */
    get distinctId(): string;
    /** Something happened. */
    track(event: string, properties?: Properties): void;
    /** A page was seen. */
    page(properties?: Properties): void;
    /** Who the visitor is, and what is known of them. What they did before counts as theirs. */
    identify(userId: string, traits?: Properties): void;
    /** Another id of the same person. */
    alias(newUserId: string): void;
    /** Whoever comes next is somebody else, at another device if that is said. What is in the queue is still sent. */
    reset(options?: {
        device?: boolean;
    }): void;
    /** Sends what is in the queue, and resolves when the server has answered for all of it, or cannot be reached. */
    flush(): Promise<void>;
    /** Sends what is in the queue and ends. */
    close(): Promise<void>;
    private fresh;
    private session;
    private about;
    private add;
    /** Keeps the queue within its limits. The oldest goes first. */
    private trim;
    private drop;
    private fail;
    private save;
    private soon;
    /** The first items of the queue that go to one route and into one request. */
    private batch;
    private drain;
    /** Whether the server has answered for the items. */
    private send;
    /** Puts the next try off: as long as the server says, or twice as long as the last time, give or take. */
    private wait;
    /** What a page does besides: it takes over what earlier pages could not send, and sends what it can as it ends. */
    private live;
    private on;
    /** Sends what is left, and keeps it: whether it came is not told. */
    private beacon;
    /** Page views of pages that change their address themselves, too. */
    private watch;
}
/** Makes a client. */
export declare const init: (options: Options) => Weir;
