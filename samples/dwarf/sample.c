/* Built by recipe.sh; the tests find lines by the words in comments, and know the rest as it stands here. */
typedef unsigned long word_t;
enum colour { RED, GREEN = 5, BLUE = -1 };
struct inner { int first : 3; unsigned second : 7; char name[12]; };
struct outer { struct outer *next; struct inner in[2][3]; union { int number; word_t word; }; enum colour colour; };

volatile word_t counter;
struct outer head = { .colour = GREEN };

static inline __attribute__((always_inline)) word_t add(word_t one, word_t two)
{
	counter += one; /* in add */
	return one + two;
}

__attribute__((noinline)) word_t middle(struct outer *of, word_t count)
{
	word_t local = count * 3;
	volatile word_t kept = count;

	local = add(local, kept); /* call of add */
	return local + of->colour;
}

void _start(void)
{
	counter = middle(&head, 4); /* call of middle */
	for (;;)
		;
}
