// SPDX-License-Identifier: MIT

extension DialPolicy {
    /// A policy as settings and commands give it: the name of a ready one, or stages.
    public init(setting texts: [String]) throws(DialPolicyError) {
        if texts.count == 1, let name = texts.first, !name.isEmpty, !name.contains(where: { $0 == " " || $0 == "\t" }) {
            try self.init(named: name)
        } else {
            try self.init(stages: texts)
        }
    }
}
