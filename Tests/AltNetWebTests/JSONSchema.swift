// SPDX-License-Identifier: MIT

import Foundation

/// The part of JSON Schema 2020-12 that `docs/api/openapi.json` uses. A keyword that it does not know is an error, so
/// that nothing in the file goes unchecked.
struct JSONSchema {
    let document: [String: Any]

    struct Unknown: Error, CustomStringConvertible {
        let description: String
    }

    /// What is wrong with a value; empty when nothing is.
    func violations(of value: Any, _ schema: [String: Any], at path: String = "$") throws -> [String] {
        if let reference = schema["$ref"] as? String {
            return try self.violations(of: value, try self.resolve(reference), at: path)
        }
        var found: [String] = []
        for (keyword, argument) in schema {
            switch keyword {
            case "description", "format", "default": break
            case "type":
                let type = argument as? String ?? ""
                if !(try Self.has(value, type)) { found.append("\(path) is no \(type)") }
            case "enum":
                let allowed = argument as? [String] ?? []
                if !allowed.contains(value as? String ?? "") { found.append("\(path): \(value) is none of \(allowed)") }
            case "pattern":
                let expression = try Regex(argument as? String ?? "")
                if (value as? String)?.contains(expression) != true { found.append("\(path) does not match") }
            case "minimum":
                if let number = value as? NSNumber, let least = argument as? NSNumber,
                    number.doubleValue < least.doubleValue
                {
                    found.append("\(path) is below \(least)")
                }
            case "items":
                for (index, item) in (value as? [Any] ?? []).enumerated() {
                    found += try self.violations(
                        of: item, argument as? [String: Any] ?? [:], at: "\(path)[\(index)]")
                }
            case "properties":
                let object = value as? [String: Any] ?? [:]
                for (name, property) in argument as? [String: [String: Any]] ?? [:] {
                    guard let member = object[name] else { continue }
                    found += try self.violations(of: member, property, at: "\(path).\(name)")
                }
            case "required":
                let object = value as? [String: Any] ?? [:]
                for name in argument as? [String] ?? [] where object[name] == nil {
                    found.append("\(path) has no \(name)")
                }
            case "additionalProperties":
                guard argument as? Bool == false else { break }
                let known = schema["properties"] as? [String: Any] ?? [:]
                for name in (value as? [String: Any] ?? [:]).keys where known[name] == nil {
                    found.append("\(path).\(name) is not documented")
                }
            case "anyOf":
                let schemas = argument as? [[String: Any]] ?? []
                if try !schemas.contains(where: { try self.violations(of: value, $0, at: path).isEmpty }) {
                    found.append("\(path) is none of what it can be")
                }
            default: throw Unknown(description: "the keyword \(keyword) at \(path)")
            }
        }
        return found
    }

    /// What a reference within the document stands for.
    func resolve(_ reference: String) throws -> [String: Any] {
        var node: Any = self.document
        for part in reference.dropFirst(2).split(separator: "/") {
            guard let object = node as? [String: Any], let next = object[String(part)] else {
                throw Unknown(description: "the reference \(reference)")
            }
            node = next
        }
        return node as? [String: Any] ?? [:]
    }

    private static func has(_ value: Any, _ type: String) throws -> Bool {
        let isBoolean = (value as? NSNumber).map { String(cString: $0.objCType) == "c" } ?? false
        switch type {
        case "object": return value is [String: Any]
        case "array": return value is [Any]
        case "string": return value is String
        case "boolean": return isBoolean
        case "number": return value is NSNumber && !isBoolean
        case "integer":
            guard let number = value as? NSNumber, !isBoolean else { return false }
            return number.doubleValue == number.doubleValue.rounded()
        default: throw Unknown(description: "the type \(type)")
        }
    }
}
