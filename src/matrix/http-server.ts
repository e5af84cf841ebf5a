import {
  createServer,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { CORS_HEADERS } from './cors.middleware.js';
import { type ErrorAnswer, MatrixError } from './matrix-error.js';

/** How long connections and requests may take. */
export interface HttpTimeouts {
  /** How long a connection stays open between two requests: longer than the proxy in front keeps it. */
  readonly keepAliveMs: number;
  /** In which a request must have arrived, body included. */
  readonly requestMs: number;
}

const HEADERS_MS = 15_000;
/** How often Node looks whether a request is late. */
const CHECK_MS = 1_000;
/** While it stops, a connection that has rested so long is not about to be used. */
const REST_MS = 100;

/** Answers whose headers are still to be sent may be told to be the last of their connection. */
type OpenAnswers = Set<ServerResponse>;

/** A server for HTTP whose own answers are errors of Matrix, too, and which can be stopped without losing a request. */
export class MatrixHttpServer {
  readonly server: Server;
  private readonly open: OpenAnswers = new Set();
  private readonly sockets = new Set<Socket>();
  /** Those whose request was answered before it was whole. */
  private readonly answered = new WeakSet<Socket>();
  private isStopping = false;

  constructor(listener: RequestListener, { keepAliveMs, requestMs }: HttpTimeouts) {
    this.server = createServer(
      {
        keepAliveTimeout: keepAliveMs,
        requestTimeout: requestMs,
        headersTimeout: Math.min(HEADERS_MS, requestMs),
        connectionsCheckingInterval: CHECK_MS,
        // Refused below, in Matrix's words.
        requireHostHeader: false,
      },
      (request, response) => {
        if (this.isStopping) response.setHeader('Connection', 'close');
        this.open.add(response);
        this.answered.delete(request.socket);
        response.once('close', () => this.open.delete(response));
        response.once('finish', () => request.complete || this.answered.add(request.socket));
        if (request.headers.host === undefined && request.httpVersion === '1.1')
          send(response, new MatrixError(400, 'M_UNKNOWN', 'A Host header is needed'));
        else listener(request, response);
      },
    );
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    this.server.on('clientError', (error, socket: Socket) => {
      // Whoever has an answer already, and goes on sending, gets no second one.
      if (this.answered.has(socket)) socket.destroy();
      else refuse(error, socket);
    });
    this.server.on('connect', (_request, socket: Socket) =>
      refuseWith(new MatrixError(405, 'M_UNRECOGNIZED', 'This is no proxy'), socket),
    );
    this.server.on('checkExpectation', (_request, response) =>
      send(response, new MatrixError(417, 'M_UNKNOWN', 'The only Expect known here is 100-continue')),
    );
  }

  /**
   * Takes no further connection, answers what comes on those that are there, each time for the last time, and
   * resolves when all are closed; after `limitMs` they are cut.
   * @returns whether any were cut
   */
  async stop(limitMs: number): Promise<boolean> {
    this.isStopping = true;
    for (const response of this.open) if (!response.headersSent) response.setHeader('Connection', 'close');
    // HTTP's own `close` would cut connections that rest at this moment, on some of which a request is on its way.
    const closed = new Promise((resolve) => NetServer.prototype.close.call(this.server, resolve));
    // An answer that went out meanwhile has closed its connection: what rests has rested since before.
    const resting = setInterval(() => this.closeResting(), REST_MS);
    let isCut = false;
    const deadline = setTimeout(() => {
      isCut = true;
      this.server.closeAllConnections();
    }, limitMs);
    await closed;
    clearInterval(resting);
    clearTimeout(deadline);
    return isCut;
  }

  private closeResting(): void {
    this.server.closeIdleConnections();
    // To Node, a connection on which nothing has come yet is about to have a request.
    for (const socket of this.sockets) if (socket.bytesRead === 0) socket.destroy();
  }
}

/** Writes an error of Matrix where no route, and no Express, has the request in hand. */
export function send(response: ServerResponse, answer: ErrorAnswer): void {
  const body = JSON.stringify(answer.toBody());
  response.writeHead(answer.status, { ...CORS_HEADERS, ...answer.headers, ...jsonHeaders(body) }).end(body);
}

/** Matrix's answers are JSON in UTF-8, which goes without saying: clients compare the type as it is. */
export function jsonHeaders(body: string): Record<string, string | number> {
  return { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
}

/** What Node says where it can make no request of what came, or not in time. */
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

function refuse(error: NodeJS.ErrnoException, socket: Socket & { _httpMessage?: ServerResponse }): void {
  // oxlint-disable-next-line no-underscore-dangle -- Node's own handler looks there, and there is no other way to know.
  const isAnswered = socket._httpMessage?.headersSent === true;
  if (!socket.writable || isAnswered || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  refuseWith(toAnswer(error.code), socket);
}

function refuseWith(answer: MatrixError, socket: Socket): void {
  const body = JSON.stringify(answer.toBody());
  const headers = { ...CORS_HEADERS, ...jsonHeaders(body), Connection: 'close' };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status]}\r\n${lines.join('')}\r\n${body}`, () =>
    socket.destroy(),
  );
}
