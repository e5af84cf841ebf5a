import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsArray, IsOptional, IsString } from 'class-validator';
import { InteractiveAuthDto } from '../uia/interactive-auth.dto.js';
import type { DeviceEntity } from '../device-rows/device.entity.js';

export class DeviceDto {
  @ApiProperty({ example: 'GHTYAJCE' })
  device_id!: string;

  @ApiPropertyOptional({ example: "Alice's phone" })
  display_name?: string;

  @ApiPropertyOptional({ example: '192.0.2.7', description: 'Where its last request came from.' })
  last_seen_ip?: string;

  @ApiPropertyOptional({
    example: 1763900000000,
    description: 'When it made its last request, in milliseconds since the epoch; may lag by a minute.',
  })
  last_seen_ts?: number;
}

export class DevicesDto {
  @ApiProperty({ type: [DeviceDto] })
  devices!: DeviceDto[];
}

/** Body of `PUT /devices/{deviceId}`. */
export class UpdateDeviceDto {
  @ApiPropertyOptional({
    maxLength: 100,
    description: 'The new name, which other users may see; without it nothing changes.',
  })
  @IsOptional()
  @IsString()
  display_name?: string;
}

/** Body of `POST /delete_devices`. */
export class DeleteDevicesDto extends InteractiveAuthDto {
  @ApiPropertyOptional({
    type: [String],
    description: 'The devices to delete. Only the answer to a challenge may leave them out.',
  })
  @IsOptional()
  @IsArray()
  @IsString({ each: true })
  devices?: string[];
}

export function toDevice(device: DeviceEntity): DeviceDto {
  const { deviceId, displayName, lastSeenAt, lastSeenIp } = device;
  return {
    device_id: deviceId,
    ...(displayName === null ? {} : { display_name: displayName }),
    ...(lastSeenIp === null ? {} : { last_seen_ip: lastSeenIp }),
    ...(lastSeenAt === null ? {} : { last_seen_ts: lastSeenAt.getTime() }),
  };
}
