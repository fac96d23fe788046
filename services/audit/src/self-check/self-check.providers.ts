import type { Provider } from '@nestjs/common';
import { DamageRepository } from './damage.repository.js';
import { RestoreRepository } from './restore.repository.js';
import { RestoreService } from './restore.service.js';
import { SelfCheckService } from './self-check.service.js';
import { StretchRepository } from './stretch.repository.js';
import { TileRebuilder } from './tile.rebuilder.js';
import { TileRepository } from './tile.repository.js';

export const selfCheckProviders: Provider[] = [
  ...[StretchRepository, DamageRepository, TileRepository, TileRebuilder, SelfCheckService],
  ...[RestoreRepository, RestoreService],
];
