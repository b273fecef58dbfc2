// SPDX-License-Identifier: MIT

/// The version of this software.
public enum AltNetVersion {
    /// A semantic version (semver.org), the same for every program of this package.
    public static let current = "0.1.0"
}
