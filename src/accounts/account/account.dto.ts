import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsObject, IsOptional, IsString } from 'class-validator';

/** Body of `POST /account/password`. */
export class ChangePasswordDto {
  @ApiPropertyOptional({
    type: 'object',
    additionalProperties: true,
    description: 'User-interactive authentication.',
  })
  @IsOptional()
  @IsObject()
  auth?: Record<string, unknown>;

  @ApiProperty({ example: 'correct horse battery staple' })
  @IsString()
  new_password!: string;

  @ApiPropertyOptional({ default: true, description: "Whether the user's other devices are deleted." })
  @IsOptional()
  @IsBoolean()
  logout_devices?: boolean;
}

/** Body of `POST /account/deactivate`. */
export class DeactivateDto {
  @ApiPropertyOptional({
    type: 'object',
    additionalProperties: true,
    description: 'User-interactive authentication.',
  })
  @IsOptional()
  @IsObject()
  auth?: Record<string, unknown>;

  @ApiPropertyOptional({ description: 'There are no third-party identifiers here to unbind.' })
  @IsOptional()
  @IsString()
  id_server?: string;

  @ApiPropertyOptional({
    default: false,
    description: 'Whether other systems are told to erase the data, too.',
  })
  @IsOptional()
  @IsBoolean()
  erase?: boolean;
}
