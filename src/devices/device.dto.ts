import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import type { DeviceEntity } from './device.entity.js';

export class DeviceDto {
  @ApiProperty({ example: 'GHTYAJCE' })
  device_id!: string;

  @ApiPropertyOptional({ example: "Alice's phone" })
  display_name?: string;
}

export class DevicesDto {
  @ApiProperty({ type: [DeviceDto] })
  devices!: DeviceDto[];
}

export function toDevice({ deviceId, displayName }: DeviceEntity): DeviceDto {
  return { device_id: deviceId, ...(displayName === null ? {} : { display_name: displayName }) };
}
