// SPDX-License-Identifier: MIT

/// Finds what a person probably meant.
public enum NearestWord {
    /// The candidate with the smallest edit distance to `word`, if it is near enough to be a slip of the finger:
    /// at most two edits, or a third of the word when that is longer. `nil` when nothing is that near.
    public static func to(_ word: String, among candidates: some Sequence<String>) -> String? {
        let limit = max(2, word.count / 3)
        let best = candidates.map { (distance: Self.distance(word, $0), word: $0) }
            .min { ($0.distance, $0.word) < ($1.distance, $1.word) }
        guard let best, best.distance <= limit else { return nil }
        return best.word
    }

    /// The Levenshtein distance: insertions, deletions and replacements of one character.
    static func distance(_ left: String, _ right: String) -> Int {
        let right = Array(right)
        var row = Array(0...right.count)
        for (line, character) in left.enumerated() {
            var diagonal = row[0]
            row[0] = line + 1
            for column in right.indices {
                let replaced = diagonal + (right[column] == character ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(replaced, row[column] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
}
