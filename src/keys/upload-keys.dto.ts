import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsObject, ValidateIf } from 'class-validator';

/** `null` does not mean "leave it unchanged": it is validated, and refused because it is not an object of keys. */
const isGiven = (_: unknown, value: unknown) => value !== undefined;

/** Body of `POST /keys/upload`. */
export class UploadKeysDto {
  @ApiPropertyOptional({
    type: 'object',
    additionalProperties: true,
    description: 'Identity keys of the device.',
  })
  @ValidateIf(isGiven)
  @IsObject()
  device_keys?: Record<string, unknown>;

  @ApiPropertyOptional({
    type: 'object',
    additionalProperties: true,
    description: 'One-time keys by `algorithm:key ID`.',
  })
  @ValidateIf(isGiven)
  @IsObject()
  one_time_keys?: Record<string, unknown>;

  @ApiPropertyOptional({
    type: 'object',
    additionalProperties: true,
    description: 'Fallback keys by `algorithm:key ID`, one for each algorithm.',
  })
  @ValidateIf(isGiven)
  @IsObject()
  fallback_keys?: Record<string, unknown>;
}

export class KeyCountsDto {
  @ApiProperty({
    type: 'object',
    additionalProperties: { type: 'integer' },
    example: { signed_curve25519: 50 },
    description: 'Unclaimed one-time keys that the server now holds, by algorithm; an absent one has none.',
  })
  one_time_key_counts!: Record<string, number>;
}
