import { IsBoolean, IsIn, IsObject, IsOptional, IsString, MaxLength, ValidateIf } from 'class-validator';

/** The service drops what is `null`, so a `kind` of `null` arrives as no kind: the pusher is to go. */
const stays = () => ValidateIf(({ kind }: SetPusherDto) => kind !== undefined);

/** Body of `POST /pushers/set` (client-server API, "Push Notifications"). */
export class SetPusherDto {
  @IsString()
  @MaxLength(64)
  app_id!: string;

  @IsString()
  @MaxLength(512)
  pushkey!: string;

  @IsOptional()
  @IsIn(['http', 'email'])
  kind?: 'http' | 'email';

  @stays()
  @IsString()
  app_display_name!: string;

  @stays()
  @IsString()
  device_display_name!: string;

  @stays()
  @IsString()
  lang!: string;

  @stays()
  @IsObject()
  data!: Record<string, unknown>;

  @IsOptional()
  @IsString()
  profile_tag?: string;

  @IsOptional()
  @IsBoolean()
  append?: boolean;
}
