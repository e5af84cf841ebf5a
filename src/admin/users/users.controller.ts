import { Body, Controller, Get, HttpCode, Param, Post, Put, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import * as z from 'zod';
import { readLimit, readName } from '../../admin-api/page.rules.js';
import { ForServerAdmins } from '../../admin-api/server-admin.decorator.js';
import { CurrentRequester } from '../../auth/auth.decorators.js';
import type { Requester } from '../../auth/requester.js';
import { Environment } from '../../config/environment.js';
import {
  ApiAccessToken,
  ApiJsonBodyErrors,
  ApiMatrixError,
  ApiUserId,
  EMPTY_OBJECT,
} from '../../matrix/api.decorators.js';
import { ClientOrigin, type Origin } from '../../matrix/client-origin.decorator.js';
import { ApiBodyOf, readBody } from '../body.rules.js';
import { ApiQueries, namesOf, readQuery } from '../query.rules.js';
import { PREVIEW_SCHEMA, toPreview } from '../sessions/session.dto.js';
import { AdminSessions } from '../sessions/sessions.service.js';
import { toUserFilter, userFilterSchema } from './user-filter.js';
import { toUserDto, USER_SCHEMA } from './user.dto.js';
import { AdminUsers } from './users.service.js';

const LIMIT = { byDefault: 100, most: 1_000 };
/** As long as one in a registration. */
const password = () => z.string().min(1).max(512);
const why = () => z.string().min(1).max(1_000).optional().meta({ description: 'Why, for the audit.' });
const dryRun = () =>
  z.boolean().optional().meta({ description: 'Only say which sessions would end. Default: false.' });

const createSchema = z.strictObject({
  username: z.string().min(1).max(255).meta({ description: 'The localpart.' }),
  password: password().optional().meta({ description: 'Default: none, so that nobody can log in yet.' }),
  admin: z.boolean().optional().meta({ description: 'Default: false.' }),
});
const passwordSchema = z.strictObject({
  new_password: password().optional().meta({ description: 'Default: one is made up, and answered.' }),
  logout_devices: z.boolean().optional().meta({ description: 'Whether all sessions end. Default: true.' }),
  reason: why(),
  dry_run: dryRun(),
});
const deactivateSchema = z.strictObject({
  erase: z.boolean().optional().meta({ description: 'Passed on to the homeserver. Default: false.' }),
  reason: why(),
  dry_run: dryRun(),
});
const adminSchema = z.strictObject({ admin: z.boolean() });

/** Users, for administrators. Not part of the Matrix specification. */
@Controller('/_session/v1/admin/users')
@ApiTags('Server administration')
@ApiAccessToken()
export class AdminUsersController {
  constructor(
    private readonly users: AdminUsers,
    private readonly sessions: AdminSessions,
    private readonly environment: Environment,
  ) {}

  @Get()
  @ForServerAdmins(...namesOf(userFilterSchema), 'limit', 'from')
  @ApiOperation({
    operationId: 'listUsers',
    summary: 'Users who meet every condition, in the order of user IDs',
    description: 'A page may be short, even empty, although there is a next_batch.',
  })
  @ApiQueries(userFilterSchema)
  @ApiQuery({ name: 'limit', required: false, type: Number, description: `Default ${LIMIT.byDefault}.` })
  @ApiQuery({ name: 'from', required: false, type: String, description: 'The next_batch of an answer.' })
  @ApiOkResponse({
    schema: {
      type: 'object',
      properties: {
        users: { type: 'array', items: USER_SCHEMA },
        next_batch: { type: 'string', description: 'Where the list goes on; missing at its end.' },
      },
    },
  })
  async list(@Query() query: Record<string, unknown>): Promise<object> {
    const { serverAdmins } = this.environment;
    const filter = toUserFilter(readQuery(userFilterSchema, query), serverAdmins);
    const behind = readName('from', query['from']) ?? '';
    const { users, next } = await this.users.list(filter, behind, readLimit(query['limit'], LIMIT));
    const shown = users.map((user) => ({
      ...user,
      isAdmin: user.isAdmin || serverAdmins.includes(user.userId),
    }));
    return { users: shown.map(toUserDto), ...(next === null ? {} : { next_batch: next }) };
  }

  @Post()
  @HttpCode(200)
  @ForServerAdmins()
  @ApiOperation({
    operationId: 'createUser',
    summary: 'Create a user, whatever REGISTRATION says',
    description: 'The name follows the rules of a registration. The second call is 400 `M_USER_IN_USE`.',
  })
  @ApiBodyOf(createSchema, { username: 'bob', password: 'through-the-looking-glass' })
  @ApiOkResponse({ schema: USER_SCHEMA })
  @ApiJsonBodyErrors('M_INVALID_USERNAME', 'M_USER_IN_USE', 'M_WEAK_PASSWORD')
  async create(
    @CurrentRequester() { userId: actor }: Requester,
    @Body() body: unknown,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    const { username, password: given = null, admin: isAdmin = false } = readBody(createSchema, body);
    return toUserDto(await this.users.create({ username, password: given, isAdmin }, { ...origin, actor }));
  }

  @Get(':userId')
  @ApiUserId()
  @ForServerAdmins()
  @ApiOperation({ operationId: 'getUser', summary: 'One user' })
  @ApiOkResponse({ schema: USER_SCHEMA })
  @ApiMatrixError(404, 'There is no such user.', ['M_NOT_FOUND'])
  async get(@Param('userId') userId: string): Promise<object> {
    return toUserDto(await this.users.get(userId));
  }

  @Put(':userId/password')
  @ApiUserId()
  @ForServerAdmins()
  @ApiOperation({
    operationId: 'setUserPassword',
    summary: 'Set a password, or make one up',
    description: 'In the same commit all sessions of the user end, unless logout_devices is false.',
  })
  @ApiBodyOf(passwordSchema, { new_password: 'through-the-looking-glass', logout_devices: true })
  @ApiOkResponse({
    description: 'The password that was made up, if none was given; with dry_run what would end.',
    schema: { type: 'object', properties: { password: { type: 'string' } } },
  })
  @ApiJsonBodyErrors('M_WEAK_PASSWORD')
  @ApiMatrixError(404, 'There is no such user.', ['M_NOT_FOUND'])
  async setPassword(
    @CurrentRequester() { userId: actor }: Requester,
    @Param('userId') userId: string,
    @Body() body: unknown,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    const {
      new_password: given = null,
      logout_devices: ends = true,
      reason = null,
      dry_run: isDry,
    } = readBody(passwordSchema, body);
    if (isDry === true) return this.preview(userId, ends);
    const made = await this.users.setPassword(userId, given, ends, { ...origin, actor, reason });
    return made === null ? {} : { password: made };
  }

  @Post(':userId/deactivate')
  @ApiUserId()
  @HttpCode(200)
  @ForServerAdmins()
  @ApiOperation({
    operationId: 'deactivateUser',
    summary: 'Deactivate a user for good',
    description:
      'Every session, device and key ends in the same commit, and the name stays taken. Administrators are refused.',
  })
  @ApiBodyOf(deactivateSchema, { dry_run: true })
  @ApiOkResponse({ description: 'Empty, or what would end.', schema: PREVIEW_SCHEMA })
  @ApiJsonBodyErrors()
  @ApiMatrixError(404, 'There is no such user.', ['M_NOT_FOUND'])
  async deactivate(
    @CurrentRequester() { userId: actor }: Requester,
    @Param('userId') userId: string,
    @Body() body: unknown,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    const { erase = false, reason = null, dry_run: isDry } = readBody(deactivateSchema, body);
    if (isDry === true) return this.preview(userId, true);
    await this.users.deactivate(userId, erase, { ...origin, actor, reason });
    return {};
  }

  @Put(':userId/admin')
  @ApiUserId()
  @ForServerAdmins()
  @ApiOperation({
    operationId: 'setUserAdmin',
    summary: 'Make a user an administrator, or take it back',
    description: 'What SERVER_ADMINS names cannot be taken back here. The second call changes nothing.',
  })
  @ApiBodyOf(adminSchema, { admin: true })
  @ApiOkResponse({ schema: EMPTY_OBJECT })
  @ApiJsonBodyErrors()
  @ApiMatrixError(404, 'There is no such user.', ['M_NOT_FOUND'])
  async setAdmin(
    @CurrentRequester() { userId: actor }: Requester,
    @Param('userId') userId: string,
    @Body() body: unknown,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    await this.users.setAdmin(userId, readBody(adminSchema, body).admin, { ...origin, actor });
    return {};
  }

  private async preview(user: string, ends: boolean): Promise<object> {
    const { userId } = await this.users.get(user);
    return toPreview(ends ? await this.sessions.preview({ userId }) : { count: 0, sessions: [] });
  }
}
