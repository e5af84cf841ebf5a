import type { NextFunction, Request, Response } from 'express';

/**
 * "Web Browser Clients": the three headers on every answer, errors included, and OPTIONS answered before any
 * guard or handler runs. Express's `cors` package sets two of the three on preflights only.
 */
export function cors(request: Request, response: Response, next: NextFunction): void {
  response.setHeader('Access-Control-Allow-Origin', '*');
  response.setHeader('Access-Control-Allow-Methods', 'GET, POST, PUT, DELETE, OPTIONS');
  response.setHeader('Access-Control-Allow-Headers', 'X-Requested-With, Content-Type, Authorization');
  if (request.method === 'OPTIONS') {
    response.status(204).end();
  } else {
    next();
  }
}
