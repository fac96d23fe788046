import { Frontier, TileBuilder, type Tile } from '#libs/tlog';

/** How far the log is, with what is needed to go on: equal to the head in the database, or of no use. */
export class LogState {
  private constructor(
    private readonly frontier: Frontier,
    private readonly builder: TileBuilder,
  ) {}

  static of(frontier: Frontier, builder: TileBuilder): LogState {
    if (frontier.size !== builder.size) throw new RangeError('frontier and tiles are of different sizes');
    return new LogState(frontier, builder);
  }

  get size(): number {
    return this.frontier.size;
  }

  /** `Frontier.hashes()` */
  hashes(): Buffer {
    return this.frontier.hashes();
  }

  /** The state after these leaves, and the tiles they finish. This one stays as it is: a commit may fail. */
  after(leaves: readonly Buffer[]): { readonly state: LogState; readonly tiles: readonly Tile[] } {
    const state = new LogState(this.frontier.clone(), this.builder.clone());
    const tiles = leaves.flatMap((leaf) => {
      state.frontier.append(leaf);
      return state.builder.append(leaf);
    });
    return { state, tiles };
  }
}
