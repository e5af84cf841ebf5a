import { applyDecorators, Controller, HttpCode, Post } from '@nestjs/common';

/** Where the client-server API lives; `r0` is what it was called before version 1.1. */
export const CLIENT_V3 = '_matrix/client/v3';
export const CLIENT_R0 = '_matrix/client/r0';
/** Endpoints that came later count their own versions. */
export const CLIENT_V1 = '_matrix/client/v1';

/**
 * A controller whose routes stand under `/_matrix/client/v3` and, for older clients, `/_matrix/client/r0`.
 *
 * @example
 * ```ts
 * @ClientController()
 * class NotesController {
 *   @Get('notes')
 *   list(@CurrentRequester() { userId }: Requester) {}
 * }
 * ```
 */
export const ClientController = () => Controller([CLIENT_V3, CLIENT_R0]);

/**
 * A POST route that answers 200, as Matrix wants, and not Nest's 201.
 *
 * @example
 * ```ts
 * @MatrixPost('notes')
 * async add(@Body() note: NoteDto) {
 *   return {};
 * }
 * ```
 */
export const MatrixPost = (path: string) => applyDecorators(Post(path), HttpCode(200));
