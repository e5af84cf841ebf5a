import {
  createServer,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { type AnswerListener, CLIENT_LEFT } from './answers.js';
import { CORS_HEADERS } from './cors.middleware.js';
import { type ErrorAnswer, MatrixError } from './matrix-error.js';

/** How long connections and requests may take, and how many there may be. */
export interface HttpLimits {
  /** How long a connection stays open between two requests. Must be longer than the proxy in front keeps it open. */
  readonly keepAliveMs: number;
  /** How long a request may take to arrive, body included. */
  readonly requestMs: number;
  /** How many connections may be open; those beyond are answered with 503 and closed. Default: any number. */
  readonly maxConnections?: number;
}

/** So many more are answered; the rest is closed without an answer. */
const MOST_REFUSED = 1_000;

const HEADERS_MS = 15_000;
/** How often Node checks for late requests. */
const CHECK_MS = 1_000;
/**
 * While the server stops: once no request has come for this long, nobody uses the connections that are left. A proxy
 * that is still sending requests uses up its connections, since each gets one more answer.
 */
const QUIET_MS = 1_000;

/** The backlog that Node asks the kernel for, and some more. */
const MOST_PENDING = 1_024;

/** If the headers of an open answer have not been sent yet, it can still say `Connection: close`. */
type OpenAnswers = Set<ServerResponse>;

/** An HTTP server whose own errors are Matrix errors, too, and which can stop without losing a request. */
export class MatrixHttpServer {
  readonly server: Server;
  private readonly open: OpenAnswers = new Set();
  private readonly sockets = new Set<Socket>();
  /** Sockets whose request is for OAuth 2.0: its clients sign their user out on any error of Matrix. */
  private readonly ofOAuth = new WeakSet<Socket>();
  /** Sockets whose request was answered before all of it had arrived. */
  private readonly answered = new WeakSet<Socket>();
  /** Sockets beyond the limit. */
  private readonly excess = new WeakSet<Socket>();
  private isStopping = false;
  private requests = 0;
  private accepted = 0;

  constructor(
    listener: RequestListener,
    { keepAliveMs, requestMs, maxConnections = Infinity }: HttpLimits,
    private readonly answerListeners: readonly AnswerListener[] = [],
  ) {
    this.server = createServer(
      {
        keepAliveTimeout: keepAliveMs,
        requestTimeout: requestMs,
        headersTimeout: Math.min(HEADERS_MS, requestMs),
        connectionsCheckingInterval: CHECK_MS,
        // Refused below, with a Matrix error.
        requireHostHeader: false,
      },
      (request, response) => {
        if (this.isStopping) response.setHeader('Connection', 'close');
        this.requests += 1;
        this.open.add(response);
        this.answered.delete(request.socket);
        if (request.url!.startsWith('/oauth2/')) this.ofOAuth.add(request.socket);
        else this.ofOAuth.delete(request.socket);
        const began = performance.now();
        response.once('close', () => {
          this.open.delete(response);
          const durationMs = performance.now() - began;
          const status = response.writableFinished ? response.statusCode : CLIENT_LEFT;
          for (const tell of this.answerListeners) tell({ request, status, durationMs });
        });
        response.once('finish', () => request.complete || this.answered.add(request.socket));
        if (this.excess.has(request.socket)) {
          response.setHeader('Connection', 'close');
          send(response, new TooManyConnections());
        } else if (request.headers.host === undefined && request.httpVersion === '1.1')
          send(response, new MatrixError(400, 'M_UNKNOWN', 'A Host header is needed'));
        else listener(request, response);
      },
    );
    this.server.on('connection', (socket) => {
      this.accepted += 1;
      if (this.sockets.size >= maxConnections + MOST_REFUSED) {
        socket.destroy();
        return;
      }
      if (this.sockets.size >= maxConnections) this.excess.add(socket);
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    this.server.on('clientError', (error, socket: Socket) => {
      // A client that keeps sending after its answer does not get a second one.
      if (this.answered.has(socket)) socket.destroy();
      else refuse(error, socket, this.ofOAuth.has(socket));
    });
    this.server.on('connect', (_request, socket: Socket) =>
      refuseWith(new MatrixError(405, 'M_UNRECOGNIZED', 'This is no proxy'), socket),
    );
    this.server.on('checkExpectation', (_request, response) =>
      send(response, new MatrixError(417, 'M_UNKNOWN', 'The only Expect known here is 100-continue')),
    );
  }

  /**
   * Accepts no new connections, answers requests on open ones, each as the last of its connection, and resolves when
   * all are closed. Closes idle ones once no request comes any more, or after half of `limitMs`, and cuts those that
   * are still open after `limitMs`.
   * @returns whether any were cut
   */
  async stop(limitMs: number): Promise<boolean> {
    this.isStopping = true;
    for (const response of this.open) if (!response.headersSent) response.setHeader('Connection', 'close');
    await this.acceptPending();
    // `close` of `node:http` would cut connections that are idle now, although a request may be on its way on some.
    const closed = new Promise((resolve) => NetServer.prototype.close.call(this.server, resolve));
    let counted = this.requests;
    let waitedMs = 0;
    const quiet = setInterval(() => {
      waitedMs += QUIET_MS;
      // Only after Node has read what the kernel holds: requests may have come while this process had no CPU.
      setImmediate(() => {
        // Clients with many connections are never quiet. Half of the time is left for the requests under way.
        if (this.requests === counted || waitedMs > limitMs / 2) this.closeIdle();
        counted = this.requests;
      });
    }, QUIET_MS);
    let isCut = false;
    const deadline = setTimeout(() => {
      isCut = true;
      this.server.closeAllConnections();
    }, limitMs);
    await closed;
    clearInterval(quiet);
    clearTimeout(deadline);
    return isCut;
  }

  /**
   * Accepts what waits for it in the kernel, which resets it when the listener closes, with the request that may have
   * been sent on it. Node accepts one connection in each turn of the event loop.
   */
  private async acceptPending(): Promise<void> {
    for (let turns = 0; turns < MOST_PENDING; turns += 1) {
      const before = this.accepted;
      await new Promise((resolve) => setImmediate(resolve));
      // The first turn may have begun after Node had looked for connections.
      if (turns > 0 && this.accepted === before) return;
    }
  }

  private closeIdle(): void {
    this.server.closeIdleConnections();
    // Node does not count a connection as idle before its first request.
    for (const socket of this.sockets) if (socket.bytesRead === 0) socket.destroy();
  }
}

/** 503: there are as many connections as there may be. */
class TooManyConnections extends MatrixError {
  override readonly headers = { 'Retry-After': '1' };

  constructor() {
    super(503, 'M_UNKNOWN', 'There are too many connections: try again in a moment');
  }
}

/** Writes a Matrix error where neither a route nor Express handles the request. */
export function send(response: ServerResponse, answer: ErrorAnswer): void {
  const body = JSON.stringify(answer.toBody());
  // Meant for the answer that there would have been: nobody may keep an error.
  response.removeHeader('Cache-Control');
  response.writeHead(answer.status, { ...CORS_HEADERS, ...answer.headers, ...jsonHeaders(body) }).end(body);
}

/** The type has no `charset`: JSON is always UTF-8, and some clients compare the header literally. */
export function jsonHeaders(body: string): Record<string, string | number> {
  return { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
}

/** The answer to Node's error code for a request that is malformed or late. */
function toAnswer(code: string | undefined): MatrixError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new MatrixError(431, 'M_TOO_LARGE', 'The headers are too large');
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new MatrixError(413, 'M_TOO_LARGE', 'The chunk extensions are too large');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new MatrixError(408, 'M_UNKNOWN', 'The request did not arrive in time');
    default:
      return new MatrixError(400, 'M_UNKNOWN', 'This is no HTTP request');
  }
}

function refuse(
  error: NodeJS.ErrnoException,
  socket: Socket & { _httpMessage?: ServerResponse },
  isOfOAuth: boolean,
): void {
  // oxlint-disable-next-line no-underscore-dangle -- Node's own handler reads it, and there is no other way to know.
  const isAnswered = socket._httpMessage?.headersSent === true;
  if (!socket.writable || isAnswered || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  refuseWith(toAnswer(error.code), socket, isOfOAuth);
}

/** @param isSilent whether the answer has no body, so that its reader takes it for what it is: something broken */
function refuseWith(answer: MatrixError, socket: Socket, isSilent = false): void {
  const body = isSilent ? '' : JSON.stringify(answer.toBody());
  const headers = { ...CORS_HEADERS, ...jsonHeaders(body), Connection: 'close' };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}\r\n${lines.join('')}\r\n${body}`, () =>
    socket.destroy(),
  );
}
