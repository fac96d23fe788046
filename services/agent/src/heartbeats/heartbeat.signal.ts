import { Injectable } from '@nestjs/common';
import { Wake } from '#libs/clock';

/** Called when the scheduler should hear of this host at once: a lease is wanted, something began or ended. */
@Injectable()
export class HeartbeatSignal extends Wake {}
