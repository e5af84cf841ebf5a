import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsInt, IsObject, IsOptional } from 'class-validator';

/** Body of `POST /keys/claim`. */
export class ClaimKeysDto {
  @ApiProperty({
    type: 'object',
    additionalProperties: { type: 'object', additionalProperties: { type: 'string' } },
    example: { '@alice:localhost': { GHTYAJCE: 'signed_curve25519' } },
    description: 'The algorithm wanted, by user and device.',
  })
  @IsObject()
  one_time_keys!: Record<string, unknown>;

  @ApiPropertyOptional({
    description: 'How long to wait for other servers, in milliseconds; there are none to wait for.',
  })
  @IsOptional()
  @IsInt()
  timeout?: number;
}

export class ClaimedKeysDto {
  @ApiProperty({
    type: 'object',
    additionalProperties: true,
    description: 'Servers that could not be asked.',
  })
  failures!: Record<string, object>;

  @ApiProperty({
    type: 'object',
    additionalProperties: true,
    description: 'One key by user, device and `algorithm:key ID`. Devices that have none are left out.',
  })
  one_time_keys!: Record<string, Record<string, object>>;
}
