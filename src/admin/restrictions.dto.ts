import { ApiProperty } from '@nestjs/swagger';
import { IsBoolean } from 'class-validator';

export class LockedDto {
  @ApiProperty({ description: 'Locked users reach nothing but the two logouts; their sessions stay.' })
  @IsBoolean()
  locked!: boolean;
}

export class SuspendedDto {
  @ApiProperty({
    description: 'Suspended users may not act on others; every endpoint of this service stays open.',
  })
  @IsBoolean()
  suspended!: boolean;
}
