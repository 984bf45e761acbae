"""Sums of products by subscripts: einsum, and what reduces to it.

`np.einsum` is taken apart into two functions of our own: `contract`, of two operands, and `rearrange`, of
one. Both take subscripts without an ellipsis, always with a result. In `contract` every letter of an operand
is also one of the other operand or of the result (a sum over a letter of its own, or a diagonal, is taken
before, by `rearrange`). So its transposes are contractions again: for "ab,bc->ac" they are "ac,bc->ab" and
"ac,ab->bc". More operands are contracted two by two, in an order that NumPy's greedy search finds.
"""

import math

import numpy as np

from ..arrays import arange_like, cast, closed_levels, dispatchable, expand, sum_levels
from ..batched import Batched, hide, levels_of, union
from ..convert import as_operand, is_array, to_data
from ..rule import bilinear, composite, linear, nondiff

__all__ = ["LETTERS", "as_array", "contract", "contract_levels", "diagonal_mask", "rearrange", "shared_by", "split"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # sorted; NumPy numbers them in this order
LARGE = 1 << 15  # multiplications; from here on NumPy's search for a faster way than a plain loop pays


def as_array(a, argument):
    """Anything that NumPy would make an array of, as one that has a shape and a dtype."""
    a = as_operand(a, argument)
    return a if is_array(a) else to_data(a, None, False, False, argument)


@dispatchable
def contract(x, y, subscripts, **order):
    """`np.einsum(subscripts, x, y)`, see above."""
    (a, b), result = split(subscripts)
    count = x.size * math.prod([n for c, n in zip(b, y.shape, strict=True) if c not in a])
    if count > LARGE and not order and x.dtype.kind in "fc":
        stack = [c for c in result if c in a and c in b]
        if stack and min(len(a), len(b), len(result)) > len(stack):  # a stack of products, which einsum would add up in loops
            return contract_stacks(x, y, a, b, result, stack)
    return np.einsum(subscripts, x, y, optimize=count > LARGE, **order)


def contract_stacks(x, y, a, b, result, stack):
    """`contract` as one matrix product for each element of the axes that both operands and the result have."""
    length = dict(zip(a + b, x.shape + y.shape, strict=True))
    summed = [c for c in a if c in b and c not in stack]
    rows, columns = [[c for c in result if c in term and c not in stack] for term in (a, b)]
    shape = [length[c] for c in stack]

    def matrices(array, term, *parts):
        array = array.transpose([term.index(c) for part in (stack, *parts) for c in part])
        array = array.reshape(shape + [math.prod([length[c] for c in part]) for part in parts])
        return array if array.itemsize in array.strides[-2:] else array.copy()  # BLAS takes nothing else

    ans = matrices(x, a, rows, summed) @ matrices(y, b, summed, columns)
    free = [*stack, *rows, *columns]
    return ans.reshape([length[c] for c in free]).transpose([free.index(c) for c in result])


@dispatchable
def rearrange(x, subscripts, **order):
    """`np.einsum(subscripts, x)`: permutes axes, takes diagonals, sums over what the result does not name."""
    return np.einsum(subscripts, x, **order)


def split(subscripts):
    """The terms and the result: "ab,bc->ac" as ["ab", "bc"], "ac"."""
    terms, _, result = subscripts.partition("->")
    return terms.split(","), result


def contract_levels(x, y, subscripts, summed=(), **order):
    """`contract` of arrays of which one at least is a batch; over the levels `summed` it sums as it does over letters."""
    (a, b), c = split(subscripts)
    own = levels_of(x), levels_of(y)
    x, y = [
        sum_levels(z, alone) if (alone := tuple([level for level in mine if level in summed and level not in others])) else z
        for z, mine, others in ((x, *own), (y, *own[::-1]))
    ]
    levels = union((levels_of(x), levels_of(y)))
    names = dict(zip(levels, [letter for letter in LETTERS if letter not in subscripts], strict=False))
    kept = tuple([level for level in levels if level not in summed])
    (x, a), (y, b) = [
        (z.whole, "".join([names[level] for level in z.levels]) + term) if type(z) is Batched else (z, term)
        for z, term in ((x, a), (y, b))
    ]
    return hide(contract(x, y, f"{a},{b}->{''.join([names[level] for level in kept])}{c}", **order), kept)


def shared_by(x, *others):
    """The levels over which a product with `others` can sum at once, as the operand with the Spec `x` is one for all.

    Otherwise the cotangent would be an array for each example first. Where the product is recorded there are none.
    """
    return closed_levels(x.levels, *others) if Batched in map(type, others) else ()


def contract_map(g, spec, other, subscripts):
    summed = shared_by(spec, g, other)
    return contract_levels(g, other, subscripts, summed) if summed else contract(g, other, subscripts)


def contract_lhs(g, x, y, subscripts, order="K"):
    (a, b), c = split(subscripts)
    return contract_map(g, x, y, f"{c},{b}->{a}")


def contract_rhs(g, x, y, subscripts, order="K"):
    (a, b), c = split(subscripts)
    return contract_map(g, y, x, f"{c},{a}->{b}")


def diagonal_mask(g, ndim, axis1, axis2, offset=0):
    """A boolean array that broadcasts to the shape of `g`, True where axis2's index less axis1's is `offset`."""
    rows, columns = [arange_like(g, g.shape[a]).reshape([-1 if i == a else 1 for i in range(ndim)]) for a in (axis1, axis2)]
    return columns - rows == offset


def rearrange_map(g, x, subscripts, order="K"):
    (given,), kept = split(subscripts)
    places = [given.index(c) for c in kept]
    g = g.transpose(sorted(range(len(kept)), key=places.__getitem__))
    g = expand(g.reshape(tuple(n if i in places else 1 for i, n in enumerate(x.shape))), x.shape)
    for i, c in enumerate(given):
        if given.index(c) < i:
            g = np.where(diagonal_mask(g, x.ndim, given.index(c), i), g, 0.0)
    return g


bilinear(contract, contract_lhs, contract_rhs)
linear(rearrange, rearrange_map, name="einsum")


# -- np.einsum in terms of them

def einsum(*operands, optimize=False, dtype=None, order="K", casting="safe"):
    xs, terms, result = parse(operands)
    common = np.dtype(dtype or np.result_type(*[x.dtype for x in xs]))
    for i, x in enumerate(xs):
        if x.dtype != common:
            if not np.can_cast(x.dtype, common, casting):
                raise TypeError(f"einsum: operand {i} is {x.dtype}, which {casting=} does not let become {common}; pass casting='unsafe'")
            xs[i] = cast(x, common)
    options = {} if order == "K" else {"order": order}
    if len(xs) == 1:
        return rearrange(xs[0], f"{terms[0]}->{result}", **options)
    if len(xs) == 2 and is_tidy(xs, terms, result):
        return contract(xs[0], xs[1], f"{terms[0]},{terms[1]}->{result}", **options)
    return product(xs, terms, result, optimize, options)


def is_tidy(xs, terms, result):
    """Whether two operands can be contracted as they are: no broadcasting, no diagonals, no sums over one's own letters."""
    (x, y), (a, b) = xs, terms
    lengths = {*zip(a, x.shape, strict=True), *zip(b, y.shape, strict=True)}
    return len(lengths) == len({*a, *b}) and len({*a}) == len(a) and len({*b}) == len(b) and {*a} ^ {*b} <= {*result}


def product(xs, terms, result, optimize, options):
    """The contraction of two or more operands."""
    size = sizes(xs, terms)
    for i, (x, term) in enumerate(zip(xs, terms, strict=True)):
        shape = tuple([size[c] for c in term])
        if shape != x.shape:  # drop axes of length 1 that are broadcast
            kept = [i for i, n in enumerate(x.shape) if shape[i] == n]
            terms[i], xs[i] = "".join([term[i] for i in kept]), x.reshape(tuple([shape[i] for i in kept]))
    factors = []
    for i, (x, term) in enumerate(zip(xs, terms, strict=True)):
        kept = named(term, [result, *terms[:i], *terms[i + 1 :]])
        factors.append((x if kept == term else rearrange(x, f"{term}->{kept}"), kept))
    for group in groups(factors, result, optimize):
        chosen = [factors.pop(i) for i in sorted(group, reverse=True)]
        x, a = chosen.pop()
        while chosen:
            y, b = chosen.pop()
            others = [term for _, term in chosen + factors]
            c = named(a + b, [result, *others]) if others else result
            x, a = contract(x, y, f"{a},{b}->{c}", **({} if others else options)), c
        factors.append((x, a))
    return x


def named(letters, terms):
    """Those of `letters`, each once, that one of `terms` names too."""
    others = set().union(*terms)
    return "".join([c for c in dict.fromkeys(letters) if c in others])


def groups(factors, result, optimize):
    """Which factors to contract with one another, as NumPy's einsum_path says; it asks for their shapes only."""
    if len(factors) == 2:
        return [(0, 1)]
    stand_ins = [np.broadcast_to(0.0, x.shape) for x, _ in factors]
    subscripts = f"{','.join([term for _, term in factors])}->{result}"
    return np.einsum_path(subscripts, *stand_ins, optimize=optimize or "greedy")[0][1:]


def sizes(xs, terms):
    """The length of each letter."""
    size: dict[str, int] = {}
    for x, term in zip(xs, terms, strict=True):
        for c, n in zip(term, x.shape, strict=True):
            known = size.get(c, 1)
            if n != known != 1 != n:
                raise mistake(f"the letter {c!r} has length {known} in one operand and {n} in another")
            size[c] = known if n == 1 else n
    return size


def parse(operands):
    """The operands as arrays, a letter for each of their axes, and those of the result."""
    if isinstance(operands[0], str):
        subscripts, *xs = operands
        terms, arrow, result = subscripts.replace(" ", "").partition("->")
        terms = terms.split(",")
    else:  # x, [0, 1], y, [1, 2], [0, 2]
        arrow = len(operands) % 2
        lists = [*operands[1::2], operands[-1]] if arrow else [*operands[1::2], []]
        *terms, result = ["".join(["..." if i is Ellipsis else LETTERS[i] for i in s]) for s in lists]
        xs = operands[: 2 * len(terms) : 2]
    if len(terms) != len(xs):
        raise mistake(f"{len(terms)} terms for {len(xs)} operands")
    xs = [as_array(x, "einsum") for x in xs]
    if "..." in (text := "".join(terms)):
        terms, hidden = without_ellipsis(xs, terms, [c for c in LETTERS if c not in text])
        if arrow and hidden and "..." not in result:
            raise mistake("the result has no '...', and those of the operands stand for axes")
        result = result.replace("...", hidden) if arrow else hidden
        text = "".join(terms)
    if not arrow:
        result = result + "".join([c for c in sorted(text) if text.count(c) == 1 and c not in result])
    if len({*result}) != len(result) or not {*result} <= {*text}:
        raise mistake(f"the result {result!r} names a letter twice, or one that no operand has")
    for x, term in zip(xs, terms, strict=True):
        if x.ndim != len(term) or len({*zip(term, x.shape, strict=True)}) != len({*term}):
            raise mistake(f"the term {term!r} does not fit an operand of shape {x.shape}; '...' stands for further axes")
    return xs, terms, result


def without_ellipsis(xs, terms, free):
    """The terms with letters of `free` in place of each '...', and which letters those are."""
    counts = [x.ndim - len(term) + 3 if "..." in term else 0 for x, term in zip(xs, terms, strict=True)]
    if min(counts) < 0:
        raise mistake("an operand has fewer axes than its term has letters")
    hidden = "".join(free[: max(counts)])
    return [term.replace("...", hidden[len(hidden) - n :]) for term, n in zip(terms, counts, strict=True)], hidden


def mistake(text):
    return ValueError(f"einsum: {text}")


composite(np.einsum, einsum)
nondiff(np.einsum_path)
