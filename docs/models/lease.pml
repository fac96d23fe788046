/*
 * One writer per account: the leader's lease, the allocation's lease, and what ends a bot in time.
 *
 *   scheduler[0], scheduler[1] -- one row of the database (term, renewal) -- heartbeats -- host: agent, supervisor, bot
 *
 * The account is held by an allocation on the host, under the older epoch. A scheduler gives it away under the newer
 * epoch when the host is surely lost, or when the host has reported that its instance has ended. README.md beside this
 * file says what is modelled and what is not, how to run it, and how to read a counterexample.
 *
 * Time is counted in ticks, every duration is a countdown that errs by DRIFT for its clock. What may happen until a
 * moment may still happen in the very tick. A process that is stopped, a message that is late and a statement that hangs
 * are one thing here: a step that is not taken for any number of ticks. A message that was sent may be taken up late, in
 * another order, more than once or never.
 *
 * A rule is taken away with -DNO_<rule>; tools/model/variants.mjs lists all of them and what must come of each.
 */

/* ------------------------------------------------------------------------------------------ measures, in ticks */
#ifndef TTL
#define TTL 5             /* T, leaseTtlMs */
#endif
#ifndef LEADER_TTL
#define LEADER_TTL 2      /* L, leaderLeaseMs */
#endif
#ifndef TERMS
#define TERMS 3           /* terms there are: the first, and one for each takeover; at most 3 with a host */
#endif
#define DRIFT 1           /* T * rho, L * rho */
#define KILL 1            /* from the end of the lease to the death of the process group */
#define ORDER 1           /* from an order's sending to its arrival at the broker; assumed to have a bound */
#define FREEZE 1          /* the longest suspension between a bot's look at its lease and its sending; assumed */
#define START (ORDER + 1) /* from the placement after a reported end to the first order; assumed */

#ifdef NO_LEASE_DRIFT
#define LEASE_DRIFT 0
#else
#define LEASE_DRIFT DRIFT
#endif
#ifdef NO_MARGIN_KILL
#define MARGIN_KILL 0
#else
#define MARGIN_KILL KILL
#endif
#ifdef NO_MARGIN_ORDER
#define MARGIN_ORDER 0
#else
#define MARGIN_ORDER ORDER
#endif
#ifdef NO_LOCK_DELAY
#define LOCK_DELAY 0
#else
#define LOCK_DELAY 1
#endif
#ifdef NO_LEADER_DRIFT
#define LEADER_DRIFT 0
#else
#define LEADER_DRIFT DRIFT
#endif
#ifdef NO_TAKEOVER_MARGIN
#define TAKEOVER_MARGIN 0
#else
#define TAKEOVER_MARGIN (DRIFT + 1)
#endif

#define AGENT_LEASE (TTL - LEASE_DRIFT - MARGIN_KILL - MARGIN_ORDER) /* T(1-rho) - M, counted from the sending */
#define GIVE_AWAY (TTL + LEASE_DRIFT + LOCK_DELAY)                   /* T(1+rho) + lock delay */
#define TAKEOVER (LEADER_TTL + LEADER_DRIFT + TAKEOVER_MARGIN)       /* L(1+rho) + margin */

/*
 * Clocks are taken at their worst: a slow one for what may be done until, a fast one for what may be done after. Each
 * duration errs by itself, which is more than the clock of one process can do. The worst is enough, because nobody is
 * made to use the time there is; with -DEVERY_DRIFT the other lengths are tried as well.
 */
inline until(countdown, length) { /* inclusive: possible in the tick in which the length has passed */
#ifdef EVERY_DRIFT
  if
  :: countdown = length + 1 - DRIFT
  :: countdown = length + 1
  :: countdown = length + 1 + DRIFT
  fi
#else
  countdown = length + 1 + DRIFT
#endif
}
inline after(countdown, length) { /* possible once the length has passed: at 0 */
#ifdef EVERY_DRIFT
  if
  :: countdown = length - DRIFT
  :: countdown = length
  :: countdown = length + DRIFT
  fi
#else
  countdown = length - DRIFT
#endif
}
#define count(countdown) countdown = (countdown > 0 -> countdown - 1 : 0)

/* ------------------------------------------------------------------------------------------------------- state */
mtype = { standby, leader };                       /* role of a scheduler */
mtype = { held, ended, acts };                     /* the account: held by the older epoch; given away; newer acts */
mtype = { sound, agent_down, supervisor_stopped }; /* what has failed on the host; one thing at a time */
mtype = { none, looked, flying };                  /* an order of the older instance */

typedef Scheduler {
  mtype role = standby;
  byte term;      /* the term it leads in */
  byte valid;     /* leads for so long yet, by its clock */
  byte renewal;   /* under way: validity left should it succeed now; 0: none */
  bool stored;    /* the renewal under way has been committed */
  byte watch;     /* standby: how long the row must stay unchanged yet */
  bool changed;   /* standby: the row is not as it was when last looked at */
  byte wait;      /* leader: how long the host must stay unheard yet */
  bool condemned; /* leader: the host is being declared down */
  bool answering; /* leader: has read the database for the present heartbeat, and will answer it */
}
Scheduler scheduler[2];

byte db_term = 1;
bool vacant;          /* the leader of the term has given it up */
mtype account = held;
byte start_left;

byte heartbeat;       /* lease left should its answer come now; 0: none is waited for */
byte answers;         /* to the present heartbeat, under way: a bit for each term */
byte term_seen;
byte lease;           /* left of the lease in lease.json; 0: none */
bool over;            /* a lease that has ended stays ended */
bool alive, started;  /* the older instance: its process group */
bool reported;        /* a heartbeat or an event that says it has ended is under way */
byte kill_left;
mtype fault = sound;
bool suspended, was_suspended;
mtype order = none;
bool looks;           /* the order is of code that looks at the lease first */
byte order_left;

/* ------------------------------------------------------------------------------------------------- properties */
/* Never set; the assertions below name them. */
bool two_writers;   /* an order of the older epoch reached the broker after the newer one might act */
bool two_instances; /* the newer one might act while the older instance was alive */
bool two_leaders;   /* a scheduler took over while another still led by its clock */
bool is_reached;      /* only with -DREACH_<state>: that state can be reached, so that the rest proves something */

/* Code that looks at nothing is covered as long as the host was not suspended: nothing on a host can stop it then. */
inline newer_acts() { account = acts; two_instances = (alive && !was_suspended); assert(!two_instances) }
inline order_arrives() { two_writers = (account == acts && (looks || !was_suspended)); assert(!two_writers) }

#ifdef NO_ONE_LEADER
#define one_leader(other)
#else
#define one_leader(other) two_leaders = leads(other); assert(!two_leaders)
#endif
inline reach(state) { is_reached = state; assert(!is_reached) }

/* -------------------------------------------------------------------------------------------------- schedulers */
#define me scheduler[i]
#define other scheduler[1 - i]
#define may_take_over (vacant || (!me.changed && me.watch == 0))
#define my_bit (1 << me.term)

#ifdef NO_LEADER_CLOCK
#define leads(s) (s.role == leader)
#else
#define leads(s) (s.role == leader && s.valid > 0)
#endif
#ifdef NO_ANSWER_TERM
#define answers_in_term true
#else
#define answers_in_term (db_term == me.term)
#endif
#ifdef NO_GUARD
#define guarded true
#else
#define guarded (db_term == me.term)
#endif
#ifdef ASSUME_SUCCESSOR_HEARD
#define may_lose (term_seen >= me.term)
#else
#define may_lose true
#endif
#ifdef LEADERS_ONLY
#define has_host false
#else
#define has_host true
#endif

inline restart(s) { /* a process that ends and comes back; also a leader that has found out that it leads no more */
  s.role = standby; s.term = 0; s.valid = 0; s.renewal = 0; s.stored = false; s.watch = 0; s.changed = true;
  s.wait = 0; s.condemned = false; s.answering = false
}
inline settle(s) { /* the account is given away: of a scheduler only an answer under way still matters */
  s.valid = 0; s.renewal = 0; s.stored = false; s.watch = 0; s.changed = false; s.wait = 0; s.condemned = false
}
inline wait_for_host() {
  if
  :: has_host -> after(me.wait, GIVE_AWAY)
  :: else
  fi
}
inline begin_term() {
  me.role = leader; me.watch = 0; me.changed = false;
#ifndef NO_LEADER_WAIT
  wait_for_host()
#endif
}

proctype Scheduling(byte i) {
  do
#ifdef RENEWAL_STEPS
  /* A renewal or a takeover: sent, committed, answered. What comes of it is valid from its sending. */
  :: atomic { leads(me) && me.renewal == 0 ->
       until(me.renewal, LEADER_TTL); printf("scheduler %d sends a renewal\n", i) }
  :: atomic { me.role == standby && may_take_over && me.renewal == 0 && db_term < TERMS ->
       until(me.renewal, LEADER_TTL); printf("scheduler %d sends a takeover\n", i) }
  :: d_step { me.role == leader && me.renewal > 0 && !me.stored && db_term == me.term ->
       me.stored = true; other.changed = (other.role == standby); printf("renewal of %d is committed\n", i) }
  :: atomic { me.role == standby && me.renewal > 0 && !me.stored ->
       if
       :: !may_take_over -> me.renewal = 0
       :: else ->
            one_leader(other);
            db_term++; vacant = false; me.term = db_term; me.stored = true; me.changed = true;
            other.changed = (other.role == standby); printf("takeover of %d is committed\n", i)
       fi }
  :: atomic { me.renewal > 0 && me.stored && db_term == me.term ->
#ifdef NO_RENEWAL_SEND_TIME
       until(me.valid, LEADER_TTL);
#else
       me.valid = (me.renewal > me.valid -> me.renewal : me.valid);
#endif
       me.renewal = 0; me.stored = false; begin_term(); printf("scheduler %d leads in term %d\n", i, me.term) }
#else
  /* A renewal, all at once: one that takes its time is valid for less, and makes a standby watch from later on. */
  :: atomic { account == held && leads(me) && db_term == me.term ->
       until(me.valid, LEADER_TTL); other.changed = (other.role == standby); printf("scheduler %d renews\n", i) }
  /* A takeover: compare-and-set on what has been watched for long enough. */
  :: atomic { account == held && me.role == standby && may_take_over && db_term < TERMS ->
       one_leader(other);
       db_term++; vacant = false; me.term = db_term; until(me.valid, LEADER_TTL); other.changed = (other.role == standby);
       begin_term(); printf("scheduler %d takes over in term %d\n", i, me.term) }
#endif
  :: atomic { account == held && me.role == standby && me.changed && me.renewal == 0 ->
       me.changed = false;
#ifndef NO_TAKEOVER_WATCH
       after(me.watch, TAKEOVER);
#endif
       printf("scheduler %d sees the row as it is\n", i) }
  :: d_step { account == held && me.role == leader -> restart(me); printf("scheduler %d starts anew\n", i) }
  /* It gives the lead up in order: whoever stands by need not wait. Its answers are under way or will never be. */
  :: d_step { account == held && leads(me) && db_term == me.term ->
       restart(me); vacant = true; printf("scheduler %d resigns\n", i) }

  /* A heartbeat: taken up and read, then answered; whatever comes in between must have seen it. */
  :: atomic { account == held && leads(me) && answers_in_term && heartbeat > 0 && !me.answering && !me.condemned &&
              !(answers & my_bit) ->
       me.answering = true;
#ifndef NO_BEGIN_MARK
       wait_for_host();
#endif
       printf("scheduler %d takes up the heartbeat\n", i) }
  :: atomic { me.answering ->
       me.answering = false; answers = answers | my_bit;
       if
       :: account == held && !me.condemned -> wait_for_host()
       :: else
       fi;
       printf("scheduler %d answers the heartbeat in term %d\n", i, me.term) }

  /* The account is given away: the host is surely lost, or has said that its instance is dead. */
  :: d_step { has_host && account == held && leads(me) && me.wait == 0 && !me.condemned ->
       me.condemned = true; printf("scheduler %d condemns the host\n", i);
#ifndef NO_CONDEMN_CHECK
       me.answering = false
#endif
     }
  :: d_step { account == held && me.condemned && guarded && may_lose ->
       printf("scheduler %d gives the account away: the host is lost\n", i);
#ifdef REACH_LOST
       reach(true);
#endif
#ifdef REACH_LOST_AFTER_TAKEOVER
       reach(db_term == 2);
#endif
       newer_acts(); settle(scheduler[0]); settle(scheduler[1]) }
  :: d_step { account == held && me.role == leader && guarded && reported ->
       printf("scheduler %d gives the account away: the instance has ended\n", i);
       account = ended; start_left = START; settle(scheduler[0]); settle(scheduler[1]) }
  od
}

/* -------------------------------------------------------------------------------------------------------- host */
#ifdef NO_TERM_CHECK
#define term_is_taken true
#else
#define term_is_taken (term >= term_seen)
#endif
#ifdef NO_ORDER_CHECK
#define may_order true
#else
#define may_order (lease > 0)
#endif
#ifdef NO_END_IS_FINAL
#define may_start true
#else
#define may_start (!reported)
#endif
#ifdef NO_SUPERVISOR_DEADLINE
#define supervisor_kills false
#else
#define supervisor_kills (fault != supervisor_stopped)
#endif
#ifdef NO_AGENT_DEADLINE
#define agent_kills false
#else
#define agent_kills (fault != agent_down)
#endif
#define agent_works (fault != agent_down && !suspended)
#define somebody_kills (!suspended && (supervisor_kills || agent_kills))

inline forget_heartbeat() { answers = 0; scheduler[0].answering = false; scheduler[1].answering = false }
inline dies() { alive = false; kill_left = 0; order = (order == looked -> none : order) }

proctype Agent() {
  byte term;
  do
  /* A heartbeat: the lease counts from before its sending. Answers to earlier ones count for nothing any more. */
  :: atomic { agent_works && !over ->
#ifndef NO_ANSWER_MATCH
       forget_heartbeat();
#endif
       until(heartbeat, AGENT_LEASE); printf("agent sends a heartbeat\n") }
  :: atomic { agent_works && heartbeat > 0 && answers != 0 ->
       if
       :: answers & 2 -> term = 1
       :: answers & 4 -> term = 2
       :: answers & 8 -> term = 3
       fi;
       if
       :: term_is_taken ->
            printf("agent takes the answer of term %d\n", term);
            term_seen = (term > term_seen -> term : term_seen);
#ifdef NO_SEND_TIME
            until(heartbeat, AGENT_LEASE);
#endif
            lease = (!over && heartbeat > lease -> heartbeat : lease)
       :: else
       fi;
       heartbeat = 0; term = 0; forget_heartbeat() }

  :: d_step { agent_works && lease > 0 && !alive && may_start ->
       alive = true; started = true; printf("agent starts the bot\n") }
  :: d_step { agent_works && started && !alive && !reported -> reported = true; printf("agent reports the end\n") }

  /* It crashes, and comes back as another incarnation: it adopts what runs under the deadline in lease.json. */
  :: d_step { fault == sound && !suspended ->
       fault = agent_down; heartbeat = 0; forget_heartbeat(); printf("agent crashes\n") }
  :: d_step { fault == agent_down && !suspended -> fault = sound; printf("agent is back\n") }
  od
}

proctype Container() {
  do
  :: d_step { alive && lease == 0 && somebody_kills -> dies(); printf("bot is killed: no lease\n") }
  :: d_step { alive && !suspended -> dies(); printf("bot ends\n") }

  :: d_step { fault == sound && !suspended -> fault = supervisor_stopped; printf("supervisor is stopped\n") }
  :: d_step { fault == supervisor_stopped && !suspended -> fault = sound; printf("supervisor goes on\n") }

  /* The whole host: everything on it stands still, the clock of its leases goes on. */
  :: d_step { !suspended && alive ->
       suspended = true; was_suspended = true; kill_left = 0; printf("host is suspended\n") }
  :: d_step { suspended ->
       suspended = false; kill_left = (alive && lease == 0 -> KILL : 0); printf("host goes on\n") }

  /* One order is followed at a time: of the trading module, or of something in the container that looks at nothing. */
  :: d_step { alive && !suspended && order == none && may_order ->
       order = looked; looks = true; order_left = FREEZE; printf("bot may send an order\n") }
  :: d_step { alive && !suspended && order == looked ->
       order = flying; order_left = ORDER; printf("bot sends the order\n") }
  :: d_step { alive && !suspended && order == none && !was_suspended ->
       order = flying; looks = false; order_left = ORDER; printf("an order is sent without a look\n") }
  :: d_step { order == flying ->
#ifdef REACH_ENDED
       reach(account == ended);
#endif
       printf("order arrives\n"); order_arrives(); order = none; looks = false; order_left = 0 }
  :: d_step { order == flying -> order = none; looks = false; order_left = 0; printf("order is lost\n") }
  od
}

/* -------------------------------------------------------------------------------------------------------- time */
#define must_be_done_now \
  ((alive && lease == 0 && kill_left == 0 && somebody_kills) || \
   (order == looked && (!suspended || order_left == 0)) || (order == flying && order_left == 0))

inline tick_scheduler(s) {
  count(s.valid); count(s.watch); count(s.wait);
#ifndef NO_RENEWAL_SEND_TIME
  s.stored = (s.renewal > 1 && s.stored); count(s.renewal);
#endif
#ifndef NO_LEADER_CLOCK
  if /* Nothing is left for it to do in its term, so it is the same whether it comes back now or later. */
  :: s.role == leader && s.valid == 0 && s.renewal == 0 && !s.condemned && !s.answering -> restart(s)
  :: else
  fi;
#endif
}

inline tick_host() {
  if
  :: lease == 1 -> lease = 0; over = true; kill_left = (suspended -> 0 : KILL - 1)
  :: lease > 1 -> lease--
  :: else -> kill_left = (suspended || kill_left == 0 -> 0 : kill_left - 1)
  fi;
#ifndef NO_SEND_TIME
  if
  :: heartbeat == 1 -> heartbeat = 0; forget_heartbeat()
  :: else -> count(heartbeat)
  fi;
#endif
}

#ifdef NO_BOOTTIME
#define clock_goes_on (!suspended)
#else
#define clock_goes_on true
#endif

proctype Time() {
  do
  :: d_step { !must_be_done_now ->
       if
       :: account == held -> tick_scheduler(scheduler[0]); tick_scheduler(scheduler[1])
       :: else
       fi;
       if
       :: clock_goes_on -> tick_host()
       :: else
       fi;
       if
       :: order == flying || (order == looked && suspended) -> count(order_left)
       :: else
       fi;
       if
       :: account == ended && start_left == 0 -> newer_acts()
       :: account == ended && start_left > 0 -> start_left--
       :: else
       fi;
       printf("-- tick\n") }
  od
}

init {
  atomic {
    scheduler[0].role = leader; scheduler[0].term = 1; until(scheduler[0].valid, LEADER_TTL);
    if
    :: has_host -> after(scheduler[0].wait, GIVE_AWAY)
    :: else
    fi;
    scheduler[1].changed = true;
    run Scheduling(0); run Scheduling(1); run Time();
    if
    :: has_host -> run Agent(); run Container()
    :: else
    fi
  }
}
