import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import type { StartedSession, TokenPair } from './session.rules.js';

/** New tokens, as `/login`, `/register` and `/refresh` return them. */
export class TokensDto {
  @ApiProperty()
  access_token!: string;

  @ApiPropertyOptional({ description: 'Absent when the client did not ask for one.' })
  refresh_token?: string;

  @ApiPropertyOptional({
    description: 'Life of the access token in milliseconds; absent: it does not expire.',
  })
  expires_in_ms?: number;
}

/** A started session. */
export class SessionDto extends TokensDto {
  @ApiProperty({ example: '@alice:localhost' })
  user_id!: string;

  @ApiProperty({ example: 'GHTYAJCE' })
  device_id!: string;

  @ApiProperty({ deprecated: true, description: 'The part of `user_id` after the colon.' })
  home_server!: string;
}

export function toTokens({ access, refresh, lifetimeMs }: TokenPair): TokensDto {
  return {
    access_token: access.token,
    ...(refresh === null ? {} : { refresh_token: refresh.token }),
    ...(lifetimeMs === null ? {} : { expires_in_ms: lifetimeMs }),
  };
}

export function toSession({ userId, deviceId, pair }: StartedSession, serverName: string): SessionDto {
  return { user_id: userId, device_id: deviceId, home_server: serverName, ...toTokens(pair) };
}
