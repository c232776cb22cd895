package bench

import "slices"

// medianBy returns the element in the middle by what of returns; of an even number, the lower one.
func medianBy[T any](all []T, of func(T) float64) T {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b T) int {
		switch x, y := of(a), of(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return sorted[(len(sorted)-1)/2]
}
