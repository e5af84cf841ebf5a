import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsObject, IsOptional } from 'class-validator';
import { InteractiveAuthDto } from '../../uia/interactive-auth.dto.js';

const KEY = { type: 'object', additionalProperties: true } as const;

/** Body of `POST /keys/device_signing/upload`. */
export class UploadCrossSigningKeysDto extends InteractiveAuthDto {
  @ApiPropertyOptional({ ...KEY, description: "The user's master key." })
  @IsOptional()
  @IsObject()
  master_key?: Record<string, unknown>;

  @ApiPropertyOptional({ ...KEY, description: "Signs the user's devices; signed by the master key." })
  @IsOptional()
  @IsObject()
  self_signing_key?: Record<string, unknown>;

  @ApiPropertyOptional({ ...KEY, description: 'Signs other users; signed by the master key.' })
  @IsOptional()
  @IsObject()
  user_signing_key?: Record<string, unknown>;
}
