import { Body, Get, Injectable, Module } from '@nestjs/common';
import { IsString } from 'class-validator';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { describe, expect, it } from 'vitest';
import {
  ClientController,
  CurrentDevice,
  CurrentRequester,
  deviceColumns,
  DeviceListsService,
  DevicesDeleted,
  InTransaction,
  MatrixPost,
  type Requester,
  type RequesterDevice,
  type Statement,
  type Tx,
  UnitOfWork,
} from '../../src/index.js';
import { V3 } from '../../src/testing/index.js';
import { useApp } from '../support/test-app.js';

// A module as another team would write it: an endpoint, its own table, and rows that are deleted with a device.
class Notes1764000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE notes (
        user_id text NOT NULL, device_id text NOT NULL, note text NOT NULL, PRIMARY KEY (user_id, device_id),
        FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE notes');
  }
}

const PUT: Statement = { name: 'notes_put', text: 'INSERT INTO notes VALUES ($1, $2, $3)' };
const LIST: Statement = {
  name: 'notes_list',
  text: 'SELECT note FROM notes WHERE user_id = $1 ORDER BY note',
};
const DELETE: Statement = {
  name: 'notes_delete',
  text: `
    DELETE FROM notes n USING unnest($1::text[], $2::text[]) AS gone (user_id, device_id)
    WHERE n.user_id = gone.user_id AND n.device_id = gone.device_id
    RETURNING n.note`,
};

class NoteDto {
  @IsString()
  note!: string;
}

@Injectable()
class NotesListener {
  readonly deleted: string[] = [];
  readonly tokens: string[] = [];

  constructor(private readonly deviceLists: DeviceListsService) {}

  @InTransaction(DevicesDeleted)
  async onDevicesDeleted({ devices }: DevicesDeleted, tx: Tx): Promise<void> {
    const rows = await tx.query<{ note: string }>(DELETE, deviceColumns(devices));
    this.deleted.push(...rows.map(({ note }) => note));
    this.tokens.push(this.deviceLists.token());
  }
}

@ClientController()
class NotesController {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  @MatrixPost('notes')
  async put(
    @CurrentDevice() { userId, deviceId }: RequesterDevice,
    @Body() { note }: NoteDto,
  ): Promise<object> {
    await this.unitOfWork.run(async (tx) => {
      await tx.query(PUT, [userId, deviceId, note]);
    });
    return {};
  }

  @Get('notes')
  list(@CurrentRequester() { userId }: Requester): Promise<object[]> {
    return this.unitOfWork.query(LIST, [userId]);
  }
}

@Module({ controllers: [NotesController], providers: [NotesListener] })
class NotesModule {}

const app = useApp({ extensions: [NotesModule], migrations: [Notes1764000000000] });

describe("Another team's module", () => {
  it('has the guard, body parsing and error format of the service', async () => {
    expect((await app().http.get(`${V3}/notes`).expect(401)).body).toMatchObject({
      errcode: 'M_MISSING_TOKEN',
    });
    const { accessToken } = await app().matrix.register();
    const answer = await app()
      .http.post(`${V3}/notes`)
      .auth(accessToken, { type: 'bearer' })
      .send({ note: 7 })
      .expect(400);
    expect(answer.body).toMatchObject({ errcode: 'M_BAD_JSON' });
  });

  it('deletes only its own rows, in the transaction of a logout', async () => {
    const phone = await app().matrix.register();
    const laptop = await app().matrix.login(phone.userId);
    for (const [session, note] of [
      [phone, 'on the phone'],
      [laptop, 'on the laptop'],
    ] as const) {
      await app()
        .http.post(`${V3}/notes`)
        .auth(session.accessToken, { type: 'bearer' })
        .send({ note })
        .expect(200);
    }
    await app().matrix.logout(phone).expect(200);
    const left = await app().http.get(`${V3}/notes`).auth(laptop.accessToken, { type: 'bearer' }).expect(200);
    expect(left.body).toEqual([{ note: 'on the laptop' }]);
    const { deleted, tokens } = app().nest.get(NotesListener);
    expect(deleted).toEqual(['on the phone']);
    const changes = app().http.get(`${V3}/keys/changes`).query({ from: tokens[0], to: tokens[0] });
    await changes.auth(laptop.accessToken, { type: 'bearer' }).expect(200);
  });
});
