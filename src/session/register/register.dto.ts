import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsObject, IsOptional, IsString } from 'class-validator';

/** Body of `POST /register`. */
export class RegisterDto {
  @ApiPropertyOptional({
    description: 'User-interactive authentication; the flow is `m.login.dummy`.',
    example: { type: 'm.login.dummy' },
    type: 'object',
    additionalProperties: true,
  })
  @IsOptional()
  @IsObject()
  auth?: Record<string, unknown>;

  @ApiPropertyOptional({ description: 'Localpart of the new user; without it, the server makes one up.' })
  @IsOptional()
  @IsString()
  username?: string;

  @ApiPropertyOptional({ example: 'correct horse battery staple' })
  @IsOptional()
  @IsString()
  password?: string;

  @ApiPropertyOptional()
  @IsOptional()
  @IsString()
  device_id?: string;

  @ApiPropertyOptional()
  @IsOptional()
  @IsString()
  initial_device_display_name?: string;

  @ApiPropertyOptional({ description: 'Create the account without a session.', default: false })
  @IsOptional()
  @IsBoolean()
  inhibit_login?: boolean;

  @ApiPropertyOptional({ description: 'Whether the client can refresh its access token.', default: false })
  @IsOptional()
  @IsBoolean()
  refresh_token?: boolean;
}
