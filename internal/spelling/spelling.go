// Package spelling finds the word that somebody probably meant.
package spelling

// Nearest is the candidate that word was probably meant to be, or "" if none is near:
// the one with the fewest letters to insert, remove or replace, at most one more than a
// third of the word's length; of several the first. Candidates that alike says
// are as good as one wrong letter are taken so; nil says it of none. Capitals are other
// letters.
func Nearest(word string, candidates []string, alike func(candidate string) bool) string {
	best, least := "", len(word)/3+2
	for _, c := range candidates {
		d := distance(word, c)
		if alike != nil && alike(c) {
			d = min(d, 1)
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is Levenshtein's, of bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
