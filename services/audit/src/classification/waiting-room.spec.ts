import { describe, expect, it } from '@jest/globals';
import { VirtualClock } from '#libs/testing';
import { WaitingRoom } from './waiting-room.js';

const wait_ms = 20_000;

function aRoom() {
  const clock = new VirtualClock();
  return { clock, room: new WaitingRoom(clock, wait_ms) };
}

describe('WaitingRoom', () => {
  it('lets a message wait for its time, however often it comes', async () => {
    const { clock, room } = aRoom();
    for (let time = 0; time < 100; time += 1) expect(room.enter(1)).toBe(1000);
    await clock.advance(wait_ms - 1);
    expect(room.enter(1)).toBe(1000);
    await clock.advance(1);
    expect(room.enter(1)).toBeNull();
  });

  it('gives whoever waits the whole time again after a while in which nothing was recorded', async () => {
    const { clock, room } = aRoom();
    room.enter(1);
    await clock.advance(wait_ms);
    room.beginAnew();
    expect(room.enter(1)).toBe(1000);
    await clock.advance(wait_ms);
    expect(room.enter(1)).toBeNull();
  });

  it('is full at some time, and has room again for each that leaves or does not come back', async () => {
    const { clock, room } = aRoom();
    for (let seq = 1; seq <= 512; seq += 1) expect(room.enter(seq)).not.toBeNull();
    expect(room.enter(513)).toBeNull();
    expect(room.enter(7)).not.toBeNull();
    room.leave(7);
    expect(room.enter(513)).not.toBeNull();
    expect(room.enter(514)).toBeNull();
    await clock.advance(2 * wait_ms);
    expect(room.enter(514)).not.toBeNull();
  });
});
