import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsInt, IsObject, IsOptional } from 'class-validator';

/** Body of `POST /keys/query`. */
export class QueryKeysDto {
  @ApiProperty({
    type: 'object',
    additionalProperties: { type: 'array', items: { type: 'string' } },
    example: { '@alice:localhost': [] },
    description: 'Device IDs by user; an empty list means all of them.',
  })
  @IsObject()
  device_keys!: Record<string, unknown>;

  @ApiPropertyOptional({
    description: 'How long to wait for other servers, in milliseconds; there are none to wait for.',
  })
  @IsOptional()
  @IsInt()
  timeout?: number;
}

export class QueriedKeysDto {
  @ApiProperty({
    type: 'object',
    additionalProperties: true,
    description: 'Servers that could not be asked.',
  })
  failures!: Record<string, object>;

  @ApiProperty({
    type: 'object',
    additionalProperties: true,
    description: 'Identity keys by user and device.',
  })
  device_keys!: Record<string, Record<string, object>>;

  @ApiProperty({ type: 'object', additionalProperties: true, description: 'Master keys by user.' })
  master_keys!: Record<string, object>;

  @ApiProperty({ type: 'object', additionalProperties: true, description: 'Self-signing keys by user.' })
  self_signing_keys!: Record<string, object>;

  @ApiProperty({
    type: 'object',
    additionalProperties: true,
    description: 'The user-signing key of the caller; nobody sees that of another.',
  })
  user_signing_keys!: Record<string, object>;
}
