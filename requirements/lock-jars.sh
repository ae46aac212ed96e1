#!/bin/sh
# Make local/services/locks/<name>.sha256 anew. Needs Maven.
#   requirements/lock-jars.sh NAME GROUP:ARTIFACT:VERSION... [-GROUP:ARTIFACT]... [STUB=PARENT]...
# - excludes; STUB=PARENT (each GROUP:ARTIFACT:VERSION) stands for a parent POM that is nowhere to be had.
set -eu
locks=$(cd "$(dirname "$0")/../local/services/locks" && pwd)
name=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
exclusions= dependencies=
for word in "$@"; do
    case $word in
    -*)
        word=${word#-}
        exclusions="$exclusions<exclusion><groupId>${word%%:*}</groupId><artifactId>${word#*:}</artifactId></exclusion>"
        ;;
    esac
done
for word in "$@"; do
    case $word in
    -*) ;;
    *=*)
        stub=${word%%=*} parent=${word#*=}
        stub_rest=${stub#*:} parent_rest=${parent#*:}
        cat >"$work/stub.xml" <<POM
<project><modelVersion>4.0.0</modelVersion><artifactId>${stub_rest%%:*}</artifactId><packaging>pom</packaging>
<parent><groupId>${parent%%:*}</groupId><artifactId>${parent_rest%%:*}</artifactId><version>${parent_rest#*:}</version></parent></project>
POM
        mvn -B -q org.apache.maven.plugins:maven-install-plugin:2.4:install-file -Dfile="$work/stub.xml" \
            -DgroupId="${stub%%:*}" -DartifactId="${stub_rest%%:*}" -Dversion="${stub_rest#*:}" -Dpackaging=pom
        ;;
    *)
        group=${word%%:*} rest=${word#*:}
        dependencies="$dependencies<dependency><groupId>$group</groupId><artifactId>${rest%%:*}</artifactId><version>${rest#*:}</version><exclusions>$exclusions</exclusions></dependency>"
        ;;
    esac
done
cat >"$work/pom.xml" <<POM
<project><modelVersion>4.0.0</modelVersion><groupId>qold</groupId><artifactId>lock</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>$dependencies</dependencies></project>
POM
mvn -B -q -f "$work/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -Dmdep.useRepositoryLayout=true -DoutputDirectory="$work/lib"
cd "$work/lib"
find . -name '*.jar' | sed 's|^\./||' | LC_ALL=C sort | xargs sha256sum >"$locks/$name.sha256"
wc -l "$locks/$name.sha256"
