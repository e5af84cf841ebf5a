import { ApiProperty } from '@nestjs/swagger';
import { IsString } from 'class-validator';

/** Body of `POST /refresh`. */
export class RefreshDto {
  @ApiProperty({ description: 'The refresh token that came with the access token.' })
  @IsString()
  refresh_token!: string;
}
