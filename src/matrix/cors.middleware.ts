import type { NextFunction, Request, Response } from 'express';

export const CORS_HEADERS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Methods': 'GET, POST, PUT, DELETE, OPTIONS',
  'Access-Control-Allow-Headers': 'X-Requested-With, Content-Type, Authorization',
};

/**
 * "Web Browser Clients": sets the three headers on every answer, errors included, and answers OPTIONS before any
 * guard or handler runs. Express's `cors` package sets two of the three on preflights only.
 */
export function cors(request: Request, response: Response, next: NextFunction): void {
  for (const [name, value] of Object.entries(CORS_HEADERS)) response.setHeader(name, value);
  if (request.method === 'OPTIONS') {
    response.status(204).end();
  } else {
    next();
  }
}
