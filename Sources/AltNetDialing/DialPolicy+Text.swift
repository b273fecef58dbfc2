// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Why a policy that somebody wrote cannot be used. The text is for the operator.
public enum DialPolicyError: Error, Hashable, Sendable, CustomStringConvertible {
    /// No ready policy has that name.
    case unknownName(String, nearest: String?)
    /// There are no stages, or one without words.
    case empty(String)
    /// The first word of a stage is none of ``DialPolicy/verbs``.
    case unknownVerb(String, nearest: String?)
    /// A word is none that the stage takes.
    case unknownWord(String, verb: String, nearest: String?)
    /// A word stands twice in one stage.
    case repeatedWord(String, verb: String)
    /// More stages than ``DialPolicy/maximumStages``.
    case tooManyStages(Int)
    /// A stage is longer than ``DialPolicy/maximumStageLength``.
    case stageTooLong(Int)

    public var description: String {
        switch self {
        case .unknownName(let name, let nearest):
            "There is no dial policy called \(name)\(Self.hint(nearest)); the ready ones are "
                + "\(Self.list(DialPolicy.named.map(\.name))), and anything else is a list of stages."
        case .empty(""): "A dial policy needs at least one stage, such as \"first user certified\"."
        case .empty(let verb): "The stage \"\(verb)\" of the dial policy needs at least one word after it."
        case .unknownVerb(let verb, let nearest):
            "A stage of a dial policy begins with \(Self.list(DialPolicy.verbs)), not with "
                + "\(verb)\(Self.hint(nearest))."
        case .unknownWord(let word, let verb, let nearest):
            "The stage \"\(verb)\" of a dial policy does not know the word \(word)\(Self.hint(nearest)); it takes "
                + "\(Self.list(DialPolicy.words(after: verb)))."
        case .repeatedWord(let word, let verb):
            "The stage \"\(verb)\" of the dial policy names \(word) twice; leave one out."
        case .tooManyStages(let count):
            "The dial policy has \(count) stages; at most \(DialPolicy.maximumStages) are taken."
        case .stageTooLong(let length):
            "A stage of the dial policy has \(length) bytes; at most \(DialPolicy.maximumStageLength) are taken."
        }
    }

    private static func hint(_ nearest: String?) -> String { nearest.map { " (did you mean \($0)?)" } ?? "" }

    private static func list(_ words: [String]) -> String { words.joined(separator: ", ") }
}

extension DialPolicy {
    /// Stages of one policy: each needs a line of the configuration, and nobody reads more of them.
    public static let maximumStages = 16
    /// Bytes of one stage: all words that exist, twice over.
    public static let maximumStageLength = 400

    /// The words with which a stage begins.
    public static let verbs = ["only", "without", "first", "last", "rank"]

    /// What can follow a verb.
    static func words(after verb: String) -> [String] {
        verb == "rank" ? Measure.allCases.map(\.rawValue) : DialTraits.named.map(\.name)
    }

    /// The ready policy of that name.
    public init(named name: String) throws(DialPolicyError) {
        if let policy = Self.named.first(where: { $0.name == name })?.policy {
            self = policy
            return
        }
        let nearest =
            name.utf8.count > Self.maximumStageLength ? nil : NearestWord.to(name, among: Self.named.map(\.name))
        throw .unknownName(Self.readable(name), nearest: nearest)
    }

    /// A policy as in the configuration: one stage in each text, a verb and its words with blanks between them.
    public init(stages texts: [String]) throws(DialPolicyError) {
        guard !texts.isEmpty else { throw .empty("") }
        guard texts.count <= Self.maximumStages else { throw .tooManyStages(texts.count) }
        var stages: [Stage] = []
        for text in texts { stages.append(try Self.stage(text)) }
        self.init(unchecked: stages)
    }

    /// One text for each stage, which ``init(stages:)`` reads as the same policy.
    public var stageTexts: [String] {
        self.stages.map { stage in
            switch stage {
            case .only(let traits): Self.text("only", traits)
            case .without(let traits): Self.text("without", traits)
            case .first(let traits): Self.text("first", traits)
            case .last(let traits): Self.text("last", traits)
            case .rank(let measures): (["rank"] + measures.map(\.rawValue)).joined(separator: " ")
            }
        }
    }

    private static func text(_ verb: String, _ traits: DialTraits) -> String {
        ([verb] + traits.names).joined(separator: " ")
    }

    private static func stage(_ text: String) throws(DialPolicyError) -> Stage {
        guard text.utf8.count <= Self.maximumStageLength else { throw .stageTooLong(text.utf8.count) }
        var words = text.split { $0 == " " || $0 == "\t" }.map(String.init)
        guard !words.isEmpty else { throw .empty("") }
        let verb = words.removeFirst()
        switch verb {
        case "only": return .only(try Self.traits(words, verb))
        case "without": return .without(try Self.traits(words, verb))
        case "first": return .first(try Self.traits(words, verb))
        case "last": return .last(try Self.traits(words, verb))
        case "rank": return .rank(try Self.known(words, verb) { Measure(rawValue: $0) })
        default: throw .unknownVerb(Self.readable(verb), nearest: NearestWord.to(verb, among: Self.verbs))
        }
    }

    private static func traits(_ words: [String], _ verb: String) throws(DialPolicyError) -> DialTraits {
        DialTraits(try Self.known(words, verb) { word in DialTraits.named.first { $0.name == word }?.trait })
    }

    private static func known<Word: Hashable>(
        _ words: [String], _ verb: String, _ meaning: (String) -> Word?
    ) throws(DialPolicyError) -> [Word] {
        guard !words.isEmpty else { throw .empty(verb) }
        var known: [Word] = []
        for word in words {
            guard let meant = meaning(word) else {
                let nearest = NearestWord.to(word, among: Self.words(after: verb))
                throw .unknownWord(Self.readable(word), verb: verb, nearest: nearest)
            }
            guard !known.contains(meant) else { throw .repeatedWord(word, verb: verb) }
            known.append(meant)
        }
        return known
    }

    private static func readable(_ word: String) -> String { "`\(UntrustedText(word.utf8, maximumLength: 40))`" }
}
