import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsObject, IsOptional } from 'class-validator';

/** Base of the bodies of endpoints that may ask for a proof. */
export class InteractiveAuthDto {
  @ApiPropertyOptional({
    type: 'object',
    additionalProperties: true,
    description:
      'User-interactive authentication: the type of a stage, the session of the challenge, and the proof.',
    example: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'alice' },
      password: 'down-the-rabbit-hole',
    },
  })
  @IsOptional()
  @IsObject()
  auth?: Record<string, unknown>;
}
