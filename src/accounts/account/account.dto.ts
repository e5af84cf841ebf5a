import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsOptional, IsString } from 'class-validator';
import { InteractiveAuthDto } from '../../uia/interactive-auth.dto.js';

/** Body of `POST /account/password`. */
export class ChangePasswordDto extends InteractiveAuthDto {
  @ApiPropertyOptional({
    example: 'through-the-looking-glass',
    description: 'Only the answer to a challenge may leave it out.',
  })
  @IsOptional()
  @IsString()
  new_password?: string;

  @ApiPropertyOptional({ default: true, description: "Whether the user's other devices are deleted." })
  @IsOptional()
  @IsBoolean()
  logout_devices?: boolean;
}

/** Body of `POST /account/deactivate`. */
export class DeactivateDto extends InteractiveAuthDto {
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
