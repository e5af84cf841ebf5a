import { applyDecorators, Controller, HttpCode, Post } from '@nestjs/common';

/** Path of the client-server API; before version 1.1 it was `r0`. */
export const CLIENT_V3 = '_matrix/client/v3';
export const CLIENT_R0 = '_matrix/client/r0';
/** Newer endpoints have version numbers of their own. */
export const CLIENT_V1 = '_matrix/client/v1';

/**
 * A controller whose routes are under `/_matrix/client/v3` and, for older clients, `/_matrix/client/r0`.
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
 * A POST route that answers 200, as Matrix requires, instead of Nest's 201.
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
