import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsObject, IsOptional, IsString } from 'class-validator';

/** Body of `POST /login`. */
export class LoginDto {
  @ApiProperty({ example: 'm.login.password', description: 'One of the types that GET /login lists.' })
  @IsString()
  type!: string;

  @ApiPropertyOptional({
    description: 'Who logs in: `m.id.user`, `m.id.thirdparty` or `m.id.phone`.',
    example: { type: 'm.id.user', user: 'alice' },
    type: 'object',
    additionalProperties: true,
  })
  @IsOptional()
  @IsObject()
  identifier?: Record<string, unknown>;

  @ApiPropertyOptional({ deprecated: true, description: 'User ID or localpart; use `identifier`.' })
  @IsOptional()
  @IsString()
  user?: string;

  @ApiPropertyOptional({ deprecated: true, description: 'Medium of `address`; use `identifier`.' })
  @IsOptional()
  @IsString()
  medium?: string;

  @ApiPropertyOptional({ deprecated: true, description: 'Third-party identifier; use `identifier`.' })
  @IsOptional()
  @IsString()
  address?: string;

  @ApiPropertyOptional({ example: 'down-the-rabbit-hole', description: 'For `m.login.password`.' })
  @IsOptional()
  @IsString()
  password?: string;

  @ApiPropertyOptional({ description: 'For `m.login.token`.' })
  @IsOptional()
  @IsString()
  token?: string;

  @ApiPropertyOptional({
    description: 'A device to log in on again; without it, the server names a new one.',
  })
  @IsOptional()
  @IsString()
  device_id?: string;

  @ApiPropertyOptional({ description: 'Name of a new device; a known one keeps its name.' })
  @IsOptional()
  @IsString()
  initial_device_display_name?: string;

  @ApiPropertyOptional({ description: 'Whether the client can refresh its access token.', default: false })
  @IsOptional()
  @IsBoolean()
  refresh_token?: boolean;
}
