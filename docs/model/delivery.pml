/* The delivery protocol of one topic partition, for spin. README.md beside this says what is
   modelled and what is not.

   Variants, each of which the checker must refute (they test the model):
   -DNOFENCE        Kafka takes commits of any generation
   -DNOINTENT       cuts go up without an intent
   -DNOFLOOR        a successor does not keep the floor that it finds
   -DEARLY          the offset moves before S3 has the cut
   -DUNCONDITIONAL  with NOINTENT: a Put writes over what has the same first offset
   -DREACH          claims that the end of the log is never committed                          */

#ifndef RECORDS
#define RECORDS 4
#endif
#ifndef MEMBERS
#define MEMBERS 3
#endif
#define SPLIT 2 /* records that fill an object: counted from the start of the cut */

/* Kafka's side: the committed offset, and in its metadata an intent (the end of a sealed cut), a
   floor (both 0 when there are none) and a token of whoever wrote it. */
byte committed, intent, low, writer, generation;

/* S3: the range of the object that holds record r, [first[r], last[r]); last is 0 for none. */
byte first[RECORDS], last[RECORDS];

/* Requests under way: taken in any order, at any time, or never. */
chan commits = [2] of { byte, byte, byte, byte, byte }; /* generation, offset, intent, low, token */
chan puts = [2] of { byte, byte };                      /* from, to */

#define max(a, b) ((a) > (b) -> (a) : (b))
#define min(a, b) ((a) < (b) -> (a) : (b))

/* OffsetCommit: fenced by the generation alone, the last writer wins. */
active proctype Broker() {
    byte g, offset, i1, f, token, r;
end:
    do
    :: atomic { commits??g, offset, i1, f, token ->
        if
#ifndef NOFENCE
        :: g != generation
#endif
#ifdef NOFENCE
        :: true
#else
        :: g == generation
#endif
            ;
            committed = offset; intent = i1; low = f; writer = token;
            r = 0;
            do
            :: r < offset -> assert(last[r] != 0); /* NoLoss */ r++
            :: else -> break
            od;
            r = 0;
#ifdef REACH
            assert(committed != RECORDS)
#endif
        fi;
        g = 0; offset = 0; i1 = 0; f = 0; token = 0 }
    :: atomic { commits??g, offset, i1, f, token -> g = 0; offset = 0; i1 = 0; f = 0; token = 0 }
    od
}

/* PutObject with If-None-Match: a key is the range, so the same range is the same object. */
active proctype Store() {
    byte from, to, r;
end:
    do
    :: atomic { puts??from, to ->
        if
        :: last[from] == to && first[from] == from /* 412, and it is ours */
        :: else ->
#ifdef UNCONDITIONAL
            assert(!(last[from] != 0 && first[from] == from)); /* NothingOverwritten */
#endif
            r = from;
            do
            :: r < to ->
#ifndef UNCONDITIONAL
                assert(last[r] == 0); /* NoDuplicate */
#endif
                first[r] = from; last[r] = to; r++
            :: else -> break
            od
        fi;
        from = 0; to = 0; r = 0 }
    :: atomic { puts??from, to -> from = 0; to = 0 }
    od
}

/* A member of the group. It may stop for good at any step (a crash: the scheduler never takes it
   again), or go on after another has taken over (a zombie). What it hears of S3 and Kafka it reads
   from them, at any later time, so lost and late answers are among the interleavings. */
proctype Member(byte me) {
    byte start;       /* of the first cut that is not committed */
    byte sealed;      /* its end once it is sealed, else 0 */
    byte position;    /* read so far */
    byte forced;      /* an end that an earlier owner promised, 0 for none */
    byte bound;       /* a floor that an earlier owner promised, 0 for none */
    byte token;       /* of the commit that was sent last; 16 for each member */
    byte known_intent, known_low; /* what a commit of ours has on record */
    byte sent_offset, sent_intent, sent_low, piece;
    bool waits;

    d_step {
        generation = me; token = me * 16;
        start = committed; position = committed; forced = intent;
#ifndef NOFLOOR
        bound = low
#endif
    }
#define opened (sealed -> sealed : start)
#define full (opened + SPLIT * ((position - opened) / SPLIT)) /* end of the open cut's full splits */
#define own_low (forced != 0 || full == opened || full < bound -> bound : full)
end:
    do
    :: position < RECORDS && (forced == 0 || position < forced) -> position++

    :: sealed == 0 && position > start && (forced -> position == forced : position >= bound) ->
        atomic { sealed = position; forced = 0; bound = (bound > position -> bound : 0) }

    /* Intent and floor, the offset unchanged. Nothing else is sent until this one shows. */
    :: !waits && ((sealed != 0 && known_intent != sealed) || own_low > known_low) ->
        atomic {
            sent_offset = start; sent_intent = (sealed -> sealed : forced); sent_low = own_low;
            token++; waits = true; commits!me, sent_offset, sent_intent, sent_low, token
        }

    /* The offset moves when S3 has every object of the cut. */
    :: !waits && sealed != 0 && known_intent == sealed ->
        atomic {
#ifndef EARLY
            piece = start;
            do
            :: piece < sealed && first[piece] == piece && last[piece] == min(piece + SPLIT, sealed) ->
                piece = last[piece]
            :: else -> break
            od;
            if
            :: piece >= sealed ->
#endif
                sent_offset = sealed; sent_intent = forced; sent_low = own_low;
                token++; waits = true; commits!me, sent_offset, sent_intent, sent_low, token
#ifndef EARLY
            :: else
            fi;
            piece = 0
#endif
        }

    /* Its answer, or a read-back that shows it. */
    :: waits && writer == token ->
        atomic {
            waits = false; known_intent = sent_intent; known_low = sent_low;
            if
            :: sealed != 0 && sent_offset == sealed -> start = sealed; sealed = 0
            :: else
            fi
        }

    /* Objects of a sealed cut with an intent; full splits below the floor on record. */
#ifdef NOINTENT
    :: sealed != 0 ->
#else
    :: sealed != 0 && known_intent == sealed ->
#endif
        atomic {
            piece = start;
            do
            :: piece + SPLIT < sealed -> piece = piece + SPLIT
            :: break
            od;
            puts!piece, min(piece + SPLIT, sealed);
            piece = 0
        }
    :: full > opened && opened + SPLIT <= known_low -> puts!opened, (opened + SPLIT)
    od
}

init {
    byte m = 1;
    do
    :: m <= MEMBERS -> run Member(m); m++
    :: else -> break
    od
}
