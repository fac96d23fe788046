import { Id, type ApiParsed, type ApiResponse, type Move } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { refusal } from '../errors.js';
import { pageOf } from '../requests/page.js';
import { MoveListRepository } from './move-list.repository.js';

@Injectable()
export class MovesService {
  constructor(private readonly moves: MoveListRepository) {}

  async get({ id }: ApiParsed<'moves.get'>): Promise<Move> {
    const move = await this.moves.find(id);
    if (move === null) throw refusal.moveNotFound(id);
    return move;
  }

  async list(request: ApiParsed<'moves.list'>): Promise<ApiResponse<'moves.list'>> {
    const { limit, after, ...filter } = request;
    if (after !== undefined && !Id.safeParse(after).success) {
      throw refusal.invalid([{ path: 'after', message: "must be the 'next' of the page before" }]);
    }
    const found = await this.moves.page(filter, after ?? null, limit + 1);
    const { rows, next } = pageOf(found, limit, (move) => move.id);
    return { moves: rows, next };
  }
}
