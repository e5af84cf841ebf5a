import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiQuery, ApiTags } from '@nestjs/swagger';
import * as z from 'zod';
import { readLimit, readName } from '../../admin-api/page.rules.js';
import { ForServerAdmins } from '../../admin-api/server-admin.decorator.js';
import { CurrentRequester } from '../../auth/auth.decorators.js';
import type { Requester } from '../../auth/requester.js';
import {
  ApiAccessToken,
  ApiJsonBodyErrors,
  ApiMatrixError,
  EMPTY_OBJECT,
} from '../../matrix/api.decorators.js';
import { ClientOrigin, type Origin } from '../../matrix/client-origin.decorator.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import type { RegistrationTokenEntity } from '../../uia/registration-token.entity.js';
import { RegistrationTokens } from '../../uia/registration-tokens.js';
import { ApiBodyOf, instant, readBody } from '../body.rules.js';
import { AdminRegistrationTokens } from './registration-tokens.service.js';

const LIMIT = { byDefault: 100, most: 1_000 };

const termsShape = {
  uses_allowed: z.int().min(1).max(1_000_000).nullable().optional().meta({
    description: 'How many accounts it may make; null: any number.',
  }),
  expires_ts: instant().nullable().optional().meta({ description: 'When it ends; null: never.' }),
};
const createSchema = z.strictObject({
  token: z.string().min(1).max(64).optional().meta({ description: 'Default: one is made up.' }),
  ...termsShape,
});
const changeSchema = z.strictObject(termsShape);

const TOKEN_SCHEMA = {
  type: 'object',
  properties: {
    token: { type: 'string' },
    uses_allowed: { type: 'integer', nullable: true },
    used: { type: 'integer' },
    expires_ts: { type: 'integer', nullable: true },
    created_ts: { type: 'integer' },
    created_by: { type: 'string' },
  },
};

const ApiToken = () => ApiParam({ name: 'token', example: 'wonderland' });

/** Registration tokens, for administrators. Those of `REGISTRATION_TOKENS` are not among them, and stay valid. */
@Controller('/_session/v1/admin/registration_tokens')
@ApiTags('Server administration')
@ApiAccessToken()
export class RegistrationTokensController {
  constructor(
    private readonly tokens: RegistrationTokens,
    private readonly changes: AdminRegistrationTokens,
  ) {}

  @Get()
  @ForServerAdmins('limit', 'from')
  @ApiOperation({ operationId: 'listRegistrationTokens', summary: 'Registration tokens, in their order' })
  @ApiQuery({ name: 'limit', required: false, type: Number, description: `Default ${LIMIT.byDefault}.` })
  @ApiQuery({ name: 'from', required: false, type: String, description: 'The next_batch of an answer.' })
  @ApiOkResponse({
    schema: {
      type: 'object',
      properties: {
        registration_tokens: { type: 'array', items: TOKEN_SCHEMA },
        next_batch: { type: 'string' },
      },
    },
  })
  async list(@Query() query: Record<string, unknown>): Promise<object> {
    const limit = readLimit(query['limit'], LIMIT);
    const tokens = await this.tokens.list(readName('from', query['from']) ?? '', limit);
    const last = tokens.length === limit ? tokens.at(-1) : undefined;
    return {
      registration_tokens: tokens.map(toDto),
      ...(last === undefined ? {} : { next_batch: last.token }),
    };
  }

  @Post()
  @HttpCode(200)
  @ForServerAdmins()
  @ApiOperation({
    operationId: 'createRegistrationToken',
    summary: 'Make a registration token',
    description: 'Of registrations at the same time, no more succeed than the token has uses left.',
  })
  @ApiBodyOf(createSchema, { uses_allowed: 1 })
  @ApiOkResponse({ schema: TOKEN_SCHEMA })
  @ApiJsonBodyErrors()
  async create(
    @CurrentRequester() { userId: actor }: Requester,
    @Body() body: unknown,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    const {
      token = null,
      uses_allowed: usesAllowed = null,
      expires_ts: expiresAt = null,
    } = readBody(createSchema, body);
    return toDto(await this.changes.create(token, { usesAllowed, expiresAt }, { ...origin, actor }));
  }

  @Get(':token')
  @ApiToken()
  @ForServerAdmins()
  @ApiOperation({ operationId: 'getRegistrationToken', summary: 'One registration token' })
  @ApiOkResponse({ schema: TOKEN_SCHEMA })
  @ApiMatrixError(404, 'There is no such token.', ['M_NOT_FOUND'])
  async get(@Param('token') token: string): Promise<object> {
    return toDto(await this.tokens.get(token));
  }

  @Put(':token')
  @ApiToken()
  @ForServerAdmins()
  @ApiOperation({ operationId: 'changeRegistrationToken', summary: 'Change how a token may be used' })
  @ApiBodyOf(changeSchema, { uses_allowed: 10 })
  @ApiOkResponse({ schema: TOKEN_SCHEMA })
  @ApiJsonBodyErrors()
  @ApiMatrixError(404, 'There is no such token.', ['M_NOT_FOUND'])
  async change(
    @CurrentRequester() { userId: actor }: Requester,
    @Param('token') token: string,
    @Body() body: unknown,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    const { uses_allowed: usesAllowed, expires_ts: expiresAt } = readBody(changeSchema, body);
    const terms = {
      ...(usesAllowed === undefined ? {} : { usesAllowed }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
    };
    return toDto(await this.changes.change(token, terms, { ...origin, actor }));
  }

  @Delete(':token')
  @ApiToken()
  @ForServerAdmins()
  @WithoutBody()
  @ApiOperation({
    operationId: 'revokeRegistrationToken',
    summary: 'Revoke a token: nobody can register with it',
  })
  @ApiOkResponse({ schema: EMPTY_OBJECT })
  @ApiMatrixError(404, 'There is no such token.', ['M_NOT_FOUND'])
  async revoke(
    @CurrentRequester() { userId: actor }: Requester,
    @Param('token') token: string,
    @ClientOrigin() origin: Origin,
  ): Promise<object> {
    await this.changes.revoke(token, { ...origin, actor });
    return {};
  }
}

function toDto(token: RegistrationTokenEntity): object {
  return {
    token: token.token,
    uses_allowed: token.usesAllowed,
    used: token.used,
    expires_ts: token.expiresAt?.getTime() ?? null,
    created_ts: token.createdAt.getTime(),
    created_by: token.createdBy,
  };
}
