import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsOptional, IsString } from 'class-validator';
import { InteractiveAuthDto } from '../../uia/interactive-auth.dto.js';

/** Body of `POST /register`. */
export class RegisterDto extends InteractiveAuthDto {
  @ApiPropertyOptional({ description: '`m.login.application_service`, for application services.' })
  @IsOptional()
  @IsString()
  type?: string;

  @ApiPropertyOptional({ description: 'Localpart of the new user; without it, the server makes one up.' })
  @IsOptional()
  @IsString()
  username?: string;

  @ApiPropertyOptional({ example: 'down-the-rabbit-hole' })
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

  @ApiPropertyOptional({ description: "A guest's access token: the guest of this username becomes a user." })
  @IsOptional()
  @IsString()
  guest_access_token?: string;

  @ApiPropertyOptional({ description: 'Create the account without a session.', default: false })
  @IsOptional()
  @IsBoolean()
  inhibit_login?: boolean;

  @ApiPropertyOptional({ description: 'Whether the client can refresh its access token.', default: false })
  @IsOptional()
  @IsBoolean()
  refresh_token?: boolean;
}

/** What a registration asks for, without its proof. It may be remembered between two requests. */
export type WantedAccount = Omit<RegisterDto, 'type' | 'auth' | 'password' | 'guest_access_token'> & {
  /** The guest who becomes the user, once `guest_access_token` has proven who it is. */
  readonly guest?: WantedGuest;
};

/** A guest, and the digest of the token that it has shown: it must still be there when the guest becomes a user. */
export interface WantedGuest {
  readonly user_id: string;
  /** In base64. */
  readonly token_digest: string;
}

export function toWantedAccount(request: RegisterDto, guest: WantedGuest | null = null): WantedAccount {
  const { username, device_id, initial_device_display_name, inhibit_login, refresh_token } = request;
  const wanted = { username, device_id, initial_device_display_name, inhibit_login, refresh_token };
  return guest === null ? wanted : { ...wanted, guest };
}
